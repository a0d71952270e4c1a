//! Admit: whether a request may go on, by all the limits that concern it.
//!
//! In: who asks, for what, now. Out: [`Admitted`] with what runs until it ends, or [`Refused`] by the first limit that says no.
//! Never: an answer to the viewer, who somebody is (`access`), a wait.
//!
//! The order is API Gateway's ("Throttle requests to your REST APIs": per-client per-method, per-client, per-method, account):
//!
//! 1. the plan's throttle of this key for this stage, path and method;
//! 2. the plan's throttle of this key over all its stages, then whether its quota is used up;
//! 3. the behavior's own limits, in the order written;
//! 4. the account.
//!
//! A limit that is not reached is not touched. What a rate took stays taken when a later limit refuses; requests that run are given
//! back. A quota is counted last, once all else admits: a month's share is not for requests that were refused.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use smallvec::SmallVec;

use super::bucket::{Buckets, Decision};
use super::headers::Shown;
use super::heavy::Heavy;
use super::inflight::{Inflight, Permit};
use super::ledger::{self, Counted, Ledger};
use super::plan::{Plan, PlanId};
use super::registry::{Registry, Scope};
use crate::config::compiled::{Limit, Per, PeriodQuota, Rates};

/// Bytes of a bucket's key that need no allocation.
const INLINE: usize = 96;

/// How long somebody is asked to wait who has too many requests at once, or whose address asks too often.
const SHORT: Duration = Duration::from_secs(1);

/// All limits of one configuration.
#[derive(Debug)]
pub struct Limits {
    pub(super) plans: Vec<Plan>,
    /// By behavior, as in the configuration.
    behaviors: Vec<Vec<Bound>>,
    account: Option<Arc<Buckets>>,
    heavy: Option<Arc<Heavy>>,
    /// `None` = quotas are not counted: no plan has one.
    ledger: Option<Arc<Ledger>>,
}

/// One limit of a behavior, with its state.
#[derive(Debug)]
struct Bound {
    name: Arc<str>,
    per: Per,
    rate: Option<Arc<Buckets>>,
    inflight: Option<Arc<Inflight>>,
}

/// Who asks, for what.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// Positions in the configuration: the behavior that serves it, and those whose path an origin may read in it. None twice.
    pub behaviors: &'a [usize],
    pub stage: &'a str,
    pub method: &'a str,
    /// Of the URL, without its query, as patterns are matched against it, then as origins may read it.
    pub paths: &'a [&'a str],
    /// Behind trusted proxies the one that they name.
    pub address: IpAddr,
    /// The API key's name.
    pub api_key: Option<&'a str>,
    /// Tells it from deleted keys of that name.
    pub key_made: u64,
    /// The plan that opens this stage to the key ([`Limits::plan`]); `None` where no API key was asked for, which is then not
    /// counted (API Gateway meters only methods that require one).
    pub plan: Option<PlanId>,
    /// Kind, issuer ("" for none) and id, which is unique only within them.
    pub principal: Option<(&'a str, &'a str, &'a str)>,
    /// A claim's value as text.
    pub claim: &'a dyn Fn(&str) -> Option<Cow<'a, str>>,
    /// A request field's first value.
    pub header: &'a dyn Fn(&HeaderName) -> Option<Vec<u8>>,
}

/// The time, twice.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Nanoseconds of [`super::Clock`].
    pub ns: u64,
    /// Milliseconds since the epoch.
    pub wall_ms: u64,
}

/// A request that may go on.
#[derive(Debug, Default)]
pub struct Admitted {
    /// The tightest of its limits; `None` when it has none that the viewer is told of.
    pub shown: Option<Shown>,
    /// To be held until the request has ended.
    pub permits: Vec<Permit>,
}

/// A request that may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub kind: Kind,
    /// The limit's name, for the log.
    pub limit: Arc<str>,
    /// Until it is worth trying again.
    pub retry_after: Duration,
    /// `None` for limits that are no viewer's business.
    pub shown: Option<Shown>,
}

/// What was too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Too fast: API Gateway's 429 "Too Many Requests".
    Throttled,
    /// Over the period's quota: API Gateway's 429 "Limit Exceeded".
    QuotaExceeded,
    /// Too many at once.
    Concurrency,
    /// This PoP as a whole.
    Account,
    /// One address, before anything else.
    Heavy,
    /// A quota that cannot be counted at this moment: this PoP is at fault, not the viewer.
    Uncounted,
}

// === impl Limits ===
impl Limits {
    /// The limits of a configuration: `behaviors` by position, each with its name. State comes from `registry`, so that it
    /// survives. Without a `ledger`, plans with a quota refuse everything as [`Kind::Uncounted`].
    pub fn new<'a>(
        rates: &Rates,
        behaviors: impl IntoIterator<Item = (&'a str, &'a [Limit])>,
        registry: &Registry,
        ledger: Option<Arc<Ledger>>,
    ) -> Self {
        let bounds = |(name, limits): (&str, &[Limit])| {
            limits.iter().map(|limit| Bound::new(name, limit, rates.keys, registry)).collect()
        };
        Limits {
            plans: rates.plans.iter().map(|plan| Plan::new(plan, rates.keys, registry)).collect(),
            behaviors: behaviors.into_iter().map(bounds).collect(),
            account: rates.account.map(|quota| registry.buckets(Scope::Account, quota, 1)),
            heavy: rates.per_address.map(|most| registry.heavy(most)),
            ledger,
        }
    }

    /// Whether an address may ask at all, before anything else is looked at. `now` as in [`Now::ns`].
    pub fn early(&self, address: IpAddr, now: u64) -> Result<(), Refused> {
        match &self.heavy {
            Some(heavy) if !heavy.allowed(address, now) => {
                Err(Refused { kind: Kind::Heavy, limit: "per_address".into(), retry_after: SHORT, shown: None })
            }
            _ => Ok(()),
        }
    }

    /// Takes from every limit that concerns a request, or is refused by the first that has nothing left.
    pub fn admit(&self, who: &Who<'_>, now: Now) -> Result<Admitted, Refused> {
        let mut admitted = Admitted::default();
        let mut metered = None;
        if let (Some(plan), Some(key)) = (who.plan.and_then(|id| self.plans.get(id)), who.api_key) {
            by_plan(plan, key, who, now, &mut admitted)?;
            metered = self.metered(plan, key, who.key_made)?;
        }
        if let Some(metered) = &metered {
            // Whoever has nothing left takes nothing from the limits that others share.
            metered.look(now)?;
        }
        for bound in who.behaviors.iter().filter_map(|id| self.behaviors.get(*id)).flatten() {
            bound.admit(who, now, &mut admitted)?;
        }
        if let Some(account) = &self.account {
            let decision = account.check(b"", now.ns);
            if !decision.allowed {
                let limit = "account".into();
                return Err(Refused { kind: Kind::Account, limit, retry_after: decision.retry_after, shown: None });
            }
        }
        if let Some(metered) = &metered {
            metered.count(now, &mut admitted)?;
        }
        Ok(admitted)
    }

    /// The quota that a key is counted by, if its plan has one.
    fn metered<'a>(&'a self, plan: &'a Plan, key: &str, made: u64) -> Result<Option<Metered<'a>>, Refused> {
        let Some(quota) = &plan.quota else { return Ok(None) };
        let Some(ledger) = &self.ledger else { return Err(uncounted(plan)) };
        Ok(Some(Metered { plan, quota, ledger, id: ledger::id(&plan.name, key, made) }))
    }
}

/// A key's quota.
struct Metered<'a> {
    plan: &'a Plan,
    quota: &'a PeriodQuota,
    ledger: &'a Ledger,
    id: ledger::Id,
}

// === impl Metered ===
impl Metered<'_> {
    /// Refuses what is past the quota for certain, without a write.
    fn look(&self, now: Now) -> Result<(), Refused> {
        match self.ledger.spent(&self.id, self.quota, now.wall_ms) {
            Ok(None) => Ok(()),
            Ok(Some(counted)) => Err(self.exceeded(&counted)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn count(&self, now: Now, admitted: &mut Admitted) -> Result<(), Refused> {
        let counted = self.ledger.count(&self.id, self.quota, now.wall_ms).map_err(|error| self.failed(&error))?;
        if !counted.admitted {
            return Err(self.exceeded(&counted));
        }
        admitted.show(quota_shown(self.plan, &counted, self.quota.window()));
        Ok(())
    }

    fn exceeded(&self, counted: &Counted) -> Refused {
        let shown = quota_shown(self.plan, counted, self.quota.window());
        let (limit, retry_after) = (self.plan.name.clone(), counted.resets_in);
        Refused { kind: Kind::QuotaExceeded, limit, retry_after, shown: Some(shown) }
    }

    fn failed(&self, error: &ledger::LedgerError) -> Refused {
        log::error!("plan {}: {error}", self.plan.name);
        uncounted(self.plan)
    }
}

fn uncounted(plan: &Plan) -> Refused {
    Refused { kind: Kind::Uncounted, limit: plan.name.clone(), retry_after: SHORT, shown: None }
}

fn by_plan(plan: &Plan, key: &str, who: &Who<'_>, now: Now, admitted: &mut Admitted) -> Result<(), Refused> {
    for method in plan.methods(who.stage, who.paths, who.method) {
        throttle(&method.name, &method.buckets, key.as_bytes(), now, admitted)?;
    }
    match &plan.throttle {
        Some(buckets) => throttle(&plan.name, buckets, key.as_bytes(), now, admitted),
        None => Ok(()),
    }
}

// === impl Admitted ===
impl Admitted {
    fn show(&mut self, shown: Shown) {
        if self.shown.as_ref().is_none_or(|tightest| shown.tighter(tightest)) {
            self.shown = Some(shown);
        }
    }
}

// === impl Bound ===
impl Bound {
    fn new(behavior: &str, limit: &Limit, keys: usize, registry: &Registry) -> Self {
        let scope =
            || Scope::Limit { behavior: behavior.to_owned(), limit: limit.name.clone(), per: limit.per.clone() };
        Bound {
            name: limit.name.as_str().into(),
            per: limit.per.clone(),
            rate: limit.quota.map(|quota| registry.buckets_of(scope(), quota, keys, limit.shared)),
            inflight: limit.concurrency.map(|most| registry.inflight(scope(), most, keys)),
        }
    }

    /// Requests at once first: they are given back when the rate refuses.
    fn admit(&self, who: &Who<'_>, now: Now, admitted: &mut Admitted) -> Result<(), Refused> {
        let key = key(&self.per, who);
        if let Some(inflight) = &self.inflight {
            let Some(permit) = inflight.enter(&key) else {
                let limit = self.name.clone();
                return Err(Refused { kind: Kind::Concurrency, limit, retry_after: SHORT, shown: None });
            };
            admitted.permits.push(permit);
        }
        match &self.rate {
            Some(buckets) => throttle(&self.name, buckets, &key, now, admitted),
            None => Ok(()),
        }
    }
}

fn throttle(name: &Arc<str>, buckets: &Buckets, key: &[u8], now: Now, admitted: &mut Admitted) -> Result<(), Refused> {
    let decision = buckets.check(key, now.ns);
    let shown = rate_shown(name, buckets, &decision);
    if !decision.allowed {
        let (limit, retry_after) = (name.clone(), decision.retry_after);
        return Err(Refused { kind: Kind::Throttled, limit, retry_after, shown: Some(shown) });
    }
    admitted.show(shown);
    Ok(())
}

fn rate_shown(name: &Arc<str>, buckets: &Buckets, decision: &Decision) -> Shown {
    let quota = buckets.quota();
    Shown {
        name: name.clone(),
        quota: quota.burst.get().into(),
        window: quota.every.saturating_mul(quota.burst.get()),
        remaining: decision.remaining.into(),
        reset: decision.reset_after,
    }
}

fn quota_shown(plan: &Plan, counted: &Counted, window: Duration) -> Shown {
    Shown {
        name: plan.name.clone(),
        quota: counted.limit,
        window,
        remaining: counted.limit.saturating_sub(counted.used),
        reset: counted.resets_in,
    }
}

/// What is counted together. The first byte tells a request without the named part from one whose part is empty.
fn key(per: &Per, who: &Who<'_>) -> SmallVec<[u8; INLINE]> {
    let mut key = SmallVec::new();
    let mut part = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => {
            key.push(1);
            key.extend_from_slice(bytes);
        }
        None => key.push(0),
    };
    match per {
        Per::Behavior => part(None),
        Per::Address { v4, v6 } => match cut(who.address, *v4, *v6) {
            IpAddr::V4(v4) => part(Some(&v4.octets())),
            IpAddr::V6(v6) => part(Some(&v6.octets())),
        },
        Per::ApiKey => part(who.api_key.map(str::as_bytes)),
        Per::Principal => {
            part(who.principal.map(|(kind, _, _)| kind.as_bytes()));
            part(who.principal.map(|(_, issuer, _)| issuer.as_bytes()));
            part(who.principal.map(|(_, _, id)| id.as_bytes()));
        }
        Per::Claim(name) => {
            part(who.principal.map(|(kind, _, _)| kind.as_bytes()));
            part(who.principal.map(|(_, issuer, _)| issuer.as_bytes()));
            part((who.claim)(name).as_deref().map(str::as_bytes));
        }
        Per::Header(name) => part((who.header)(name).as_deref()),
    }
    key
}

/// The network of an address; an IPv4 address in IPv6's clothes is one of IPv4.
fn cut(address: IpAddr, v4: u8, v6: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests;
