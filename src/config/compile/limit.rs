//! Limit: `limit`, `[rates]`, `[[usage_plan]]` and `[[api_key]]` become token buckets, quotas and keys.
//!
//! In: schema. Out: compiled. Never: a request counted.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::{Checked, Report, access, all, pattern, signer};
use crate::config::compiled::{
    ApiKey, Limit, MethodThrottle, Per, Period, PeriodQuota, Quota, Rates, UsagePlan, stages_clash,
};
use crate::config::schema;
use crate::config::source::At;
use crate::config::units::Rate;

/// Per-method limits of one plan: API Gateway's bound is 20 a stage; here for all stages.
const METHODS_MAX: usize = 200;
/// Limits of one behavior.
const LIMITS_MAX: usize = 10;
/// Seconds that a bucket may take to fill: its state is nanoseconds in 61 bits.
const FILL_MAX: u64 = 50 * 365 * 86_400;
/// Characters of a stage's name ("stage name" in API Gateway's quotas).
const STAGE_MAX: usize = 128;

pub(super) fn rates(written: schema::Rates, report: &mut Report<'_>) -> Checked<Rates> {
    let at = At::default().key("rates");
    let account =
        written.account.map(|bucket| quota(&at.key("account"), bucket.rate, bucket.burst, report)).transpose();
    let keys = report.positive(&at.key("keys"), written.keys);
    Ok(Rates {
        plans: Vec::new(),
        api_keys: Vec::new(),
        account: account?,
        per_address: NonZeroU32::new(written.per_address),
        keys: keys?,
        stored_keys: written.stored_keys,
    })
}

fn quota(at: &At, rate: Rate, burst: Option<u32>, report: &mut Report<'_>) -> Checked<Quota> {
    let every = rate.every();
    let most = u128::from(FILL_MAX) * 1_000_000_000 / every.as_nanos().max(1);
    match NonZeroU32::new(burst.unwrap_or_else(|| rate.burst())) {
        Some(burst) if u128::from(burst.get()) > most => Err(report.refuse(
            &at.key("burst"),
            format!("such a bucket takes more than fifty years to fill: 'burst' is at most {most} at this rate"),
        )),
        Some(burst) => Ok(Quota { every, burst }),
        None => Err(report.refuse(&at.key("burst"), "a bucket that holds nothing lets nothing through")),
    }
}

/// A rate that may be left out, with a burst that needs one.
fn maybe(at: &At, rate: Option<Rate>, burst: Option<u32>, report: &mut Report<'_>) -> Checked<Option<Quota>> {
    match (rate, burst) {
        (Some(rate), burst) => quota(at, rate, burst, report).map(Some),
        (None, Some(_)) => Err(report.refuse(&at.key("burst"), "'burst' needs a 'rate' to fill it")),
        (None, None) => Ok(None),
    }
}

pub(super) fn limits(at: &At, written: &[schema::Limit], report: &mut Report<'_>) -> Checked<Vec<Limit>> {
    if written.len() > LIMITS_MAX {
        return Err(report.refuse(at, format!("at most {LIMITS_MAX} limits")));
    }
    let place = |i: usize| if written.len() > 1 { at.index(i) } else { at.clone() };
    let each = written.iter().enumerate().map(|(i, one)| limit(&place(i), one, report));
    let mut limits: Vec<Limit> = all(each.collect::<Vec<_>>())?;
    for i in 1..limits.len() {
        let (earlier, later) = limits.split_at_mut(i);
        if let [limit, ..] = later
            && earlier.iter().any(|one| one.name == limit.name)
        {
            if written.get(i).is_some_and(|one| one.name.is_some()) {
                return Err(report.refuse(&place(i).key("name"), format!("the name '{}' is taken", limit.name)));
            }
            limit.name = format!("{}-{}", limit.name, i + 1);
        }
    }
    Ok(limits)
}

fn limit(at: &At, written: &schema::Limit, report: &mut Report<'_>) -> Checked<Limit> {
    let (per, word) = per(&at.key("per"), &written.per, report)?;
    let name = written.name.clone().unwrap_or(word);
    // It stands in a structured field's string (RFC 9651 §3.3.3).
    if !(1..=64).contains(&name.len()) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        report.refuse(&at.key("name"), format!("'{name}' is no name: 1 to 64 of letters, digits, '-', '_' and '.'"));
    }
    let quota = maybe(at, written.rate, written.burst, report)?;
    let concurrency = written
        .concurrency
        .map(|most| NonZeroU32::new(most).ok_or_else(|| report.refuse(&at.key("concurrency"), "must be more than 0")));
    let concurrency = concurrency.transpose()?;
    if quota.is_none() && concurrency.is_none() {
        return Err(report.refuse(at, "a limit needs a 'rate' or a 'concurrency'"));
    }
    if written.shared && quota.is_none() {
        return Err(report.refuse(&at.key("shared"), "only a 'rate' can be shared"));
    }
    Ok(Limit { name, per, quota, concurrency, shared: written.shared })
}

fn per(at: &At, written: &schema::Per, report: &mut Report<'_>) -> Checked<(Per, String)> {
    Ok(match written {
        schema::Per::Address => (Per::Address { v4: 32, v6: 64 }, "address".to_owned()),
        schema::Per::ApiKey => (Per::ApiKey, "api-key".to_owned()),
        schema::Per::Principal => (Per::Principal, "principal".to_owned()),
        schema::Per::Behavior => (Per::Behavior, "behavior".to_owned()),
        schema::Per::Network(bits) => {
            if bits.v4 > 32 || bits.v6 > 128 {
                return Err(report.refuse(at, "an IPv4 address has 32 bits, an IPv6 address 128"));
            }
            (Per::Address { v4: bits.v4, v6: bits.v6 }, "network".to_owned())
        }
        schema::Per::Claim(claim) if claim.is_empty() => return Err(report.refuse(&at.key("claim"), "which claim?")),
        schema::Per::Claim(claim) => (Per::Claim(claim.clone()), "claim".to_owned()),
        schema::Per::Header(name) => (Per::Header(report.header_name(&at.key("header"), name)?), "header".to_owned()),
    })
}

/// A stage's name.
pub(super) fn stage(at: &At, name: String, report: &mut Report<'_>) -> Checked<String> {
    let fits = (1..=STAGE_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$'));
    match fits {
        true => Ok(name),
        false => {
            Err(report.refuse(at, format!("'{name}' is no stage: 1 to {STAGE_MAX} letters, digits, '-', '_' and '$'")))
        }
    }
}

pub(super) fn plans(written: &[schema::UsagePlan], report: &mut Report<'_>) -> Checked<Vec<UsagePlan>> {
    access::unique("usage_plan", written.iter().map(|plan| &plan.name), report)?;
    let each = written.iter().enumerate();
    all(each.map(|(i, one)| plan(&At::default().key("usage_plan").index(i), one, report)).collect::<Vec<_>>())
}

fn plan(at: &At, written: &schema::UsagePlan, report: &mut Report<'_>) -> Checked<UsagePlan> {
    let throttle = maybe(at, written.rate, written.burst, report);
    let quota = written.quota.map(|quota| {
        if quota.limit == 0 {
            return Err(report.refuse(&at.key("quota").key("limit"), "must be more than 0"));
        }
        if quota.offset > quota.limit {
            return Err(report.refuse(&at.key("quota").key("offset"), "more than the limit"));
        }
        let period = match quota.period {
            schema::Period::Day => Period::Day,
            schema::Period::Week => Period::Week,
            schema::Period::Month => Period::Month,
        };
        Ok(PeriodQuota { limit: quota.limit, offset: quota.offset, period, shared: written.shared })
    });
    let quota = quota.transpose();
    let each = written.stages.iter().enumerate();
    let stages = all(each.map(|(i, name)| stage(&at.key("stages").index(i), name.clone(), report)).collect::<Vec<_>>());
    if written.method.len() > METHODS_MAX {
        return Err(report.refuse(&at.key("method"), format!("at most {METHODS_MAX} methods")));
    }
    let each = written.method.iter().enumerate();
    let methods =
        all(each.map(|(i, one)| method(&at.key("method").index(i), one, written, report)).collect::<Vec<_>>());
    Ok(UsagePlan {
        name: written.name.clone(),
        throttle: throttle?,
        quota: quota?,
        stages: stages?,
        methods: methods?,
        shared: written.shared,
    })
}

fn method(
    at: &At,
    written: &schema::PlanMethod,
    plan: &schema::UsagePlan,
    report: &mut Report<'_>,
) -> Checked<MethodThrottle> {
    if !written.path.starts_with('/') || pattern::read(&written.path).is_err() {
        report.refuse(&at.key("path"), format!("'{}' is no path pattern: like \"/pets/*\"", written.path));
    }
    let verb = match &written.method {
        Some(name) => {
            let one = schema::Methods::Only(vec![name.clone()]);
            report.methods(&at.key("method"), &one)?.into_iter().next()
        }
        None => None,
    };
    if let Some(stage) = &written.stage
        && !plan.stages.is_empty()
        && !plan.stages.contains(stage)
    {
        return Err(report.unknown(&at.key("stage"), "stage", stage, plan.stages.iter().map(String::as_str)));
    }
    let quota = quota(at, written.rate, written.burst, report)?;
    Ok(MethodThrottle { stage: written.stage.clone(), path: written.path.clone(), method: verb, quota })
}

pub(super) fn api_keys(
    written: &[schema::ApiKey],
    plans: &[schema::UsagePlan],
    report: &mut Report<'_>,
) -> Checked<Vec<ApiKey>> {
    access::unique("api_key", written.iter().map(|key| &key.name), report)?;
    let mut taken = HashMap::new();
    for (i, key) in written.iter().enumerate() {
        if let Some(other) = taken.insert(key.sha256.to_ascii_lowercase(), &key.name) {
            let at = At::default().key("api_key").index(i).key("sha256");
            return Err(report.refuse_hidden(
                &at,
                format!("'{}' and '{other}' have the same value", key.name),
                "a key is one of them",
            ));
        }
    }
    let each = written.iter().enumerate();
    all(each.map(|(i, one)| api_key(&At::default().key("api_key").index(i), one, plans, report)).collect::<Vec<_>>())
}

fn api_key(at: &At, written: &schema::ApiKey, plans: &[schema::UsagePlan], report: &mut Report<'_>) -> Checked<ApiKey> {
    let Some(hash) = signer::hex(&written.sha256) else {
        return Err(report.refuse_hidden(
            &at.key("sha256"),
            "the SHA-256 of a key is 64 hex digits",
            "printf %s \"$KEY\" | sha256sum; never the key itself",
        ));
    };
    let mut opened: Vec<&schema::UsagePlan> = Vec::new();
    for (i, name) in written.plans.iter().enumerate() {
        let at = at.key("plans").index(i);
        let Some(plan) = plans.iter().find(|plan| plan.name == *name) else {
            return Err(report.unknown(&at, "usage plan", name, plans.iter().map(|plan| plan.name.as_str())));
        };
        if let Some(other) = opened.iter().find(|other| stages_clash(&plan.stages, &other.stages)) {
            return Err(report.refuse(&at, format!("'{name}' opens a stage that '{}' opens already", other.name)));
        }
        opened.push(plan);
    }
    Ok(ApiKey { name: written.name.clone(), hash, enabled: written.enabled, plans: written.plans.clone() })
}
