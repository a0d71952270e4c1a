//! Plan: which throttles and which quota a key has.
//!
//! In: usage plans, a stage, a path, a method. Out: the plan, the method's throttle. Never: a count.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::admit::Limits;
use super::bucket::Buckets;
use super::registry::{Registry, Scope};
use crate::config::compiled::{MethodThrottle, Period, PeriodQuota, Quota, UsagePlan};
use crate::message::path;

/// Position of a plan in the configuration.
pub type PlanId = usize;

/// A usage plan with its state.
#[derive(Debug)]
pub struct Plan {
    pub(super) name: Arc<str>,
    stages: Vec<String>,
    methods: Vec<Method>,
    /// By key, over all stages.
    pub(super) throttle: Option<Arc<Buckets>>,
    pub(super) quota: Option<PeriodQuota>,
}

/// What a plan says of some methods.
#[derive(Debug)]
pub struct Method {
    pub(super) name: Arc<str>,
    of: MethodThrottle,
    /// By key.
    pub(super) buckets: Arc<Buckets>,
}

// === impl Limits ===
impl Limits {
    /// The first of a key's plans that opens `stage`: it is the one that counts ("an API key can be in only one usage plan
    /// per stage", API Gateway, "Usage plans"). `None` = the key does not open it.
    pub fn plan<'n>(&self, names: impl IntoIterator<Item = &'n str>, stage: &str) -> Option<PlanId> {
        let known = |name: &str| self.plans.iter().position(|plan| *plan.name == *name);
        names.into_iter().filter_map(known).find(|&id| self.plans.get(id).is_some_and(|plan| plan.opens(stage)))
    }
}

// === impl Plan ===
impl Plan {
    pub(super) fn new(plan: &UsagePlan, keys: usize, registry: &Registry) -> Self {
        let name = || plan.name.clone();
        let buckets = |scope: Scope, quota: Quota| registry.buckets_of(scope, quota, keys, plan.shared);
        let method = |of: &MethodThrottle| {
            let (stage, path, method) = (of.stage.clone(), of.path.clone(), of.method.clone());
            let shown = method.as_ref().map_or("ANY", http::Method::as_str);
            Method {
                name: format!("{} {shown} {path}", plan.name).into(),
                buckets: buckets(Scope::Method { plan: name(), stage, path, method }, of.quota),
                of: MethodThrottle { path: path::pattern(&of.path).into_owned(), ..of.clone() },
            }
        };
        Plan {
            name: name().into(),
            stages: plan.stages.clone(),
            methods: plan.methods.iter().map(method).collect(),
            throttle: plan.throttle.map(|quota| buckets(Scope::Plan { plan: name() }, quota)),
            quota: plan.quota,
        }
    }

    fn opens(&self, stage: &str) -> bool {
        self.stages.is_empty() || self.stages.iter().any(|opened| opened == stage)
    }

    /// Of each of the paths the first that fits; none twice. A REST API's resource is the same with a slash behind it.
    pub(super) fn methods(&self, stage: &str, paths: &[&str], method: &str) -> SmallVec<[&Method; 2]> {
        let mut all: SmallVec<[&Method; 2]> = SmallVec::new();
        for one in paths.iter().filter_map(|path| self.method(stage, path, method)) {
            if !all.iter().any(|known| std::ptr::eq(*known, one)) {
                all.push(one);
            }
        }
        all
    }

    fn method(&self, stage: &str, path: &str, method: &str) -> Option<&Method> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        self.methods.iter().find(|throttle| {
            let of = &throttle.of;
            of.stage.as_ref().is_none_or(|of| of == stage)
                && of.method.as_ref().is_none_or(|of| of.as_str() == method)
                && (matches(&of.path, path) || matches(&of.path, bare))
        })
    }
}

// === impl PeriodQuota ===
impl PeriodQuota {
    /// How long a period is; a month counts 30 days.
    pub(super) fn window(&self) -> Duration {
        const DAY: u64 = 86_400;
        Duration::from_secs(match self.period {
            Period::Day => DAY,
            Period::Week => 7 * DAY,
            Period::Month => 30 * DAY,
        })
    }
}

/// A behavior's path pattern: `*` is any run of bytes, `?` one, and the leading "/" may be left out. Going back to the last `*`
/// is enough, so that the time is at most pattern × path.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = match pattern.as_bytes() {
        [b'/', rest @ ..] if path.starts_with('/') => rest,
        // "*" alone is every path.
        all => all,
    };
    let path = path.strip_prefix('/').unwrap_or(path).as_bytes();
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < path.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == path[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match &mut star {
                Some((star_at, from)) => {
                    *from += 1;
                    (at, seen) = (*star_at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, want) in [
            ("*", "/", true),
            ("*", "/a/b", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/items/*", "/items/7", true),
            ("items/*", "/items/7", true),
            ("/items/*", "/items", false),
            ("/items/*/parts", "/items/1/2/parts", true),
            ("/items/*/parts", "/items/1/part", false),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("/*a*b", "/xxaxxaxb", true),
            ("/*a*b", "/xxaxxax", false),
            ("*.jpg", "/a/b.jpg", true),
            ("", "/a", false),
        ] {
            assert_eq!(matches(pattern, path), want, "{pattern} {path}");
        }
    }
}
