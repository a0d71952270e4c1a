//! Tests of the order of limits, of what a refusal costs, and of what is counted together.

use super::*;
use crate::config::compiled::{MethodThrottle, Period, Quota, UsagePlan};
use std::num::NonZeroU32;

const SECOND: u64 = 1_000_000_000;

fn quota(burst: u32) -> Quota {
    Quota { every: Duration::from_secs(1), burst: NonZeroU32::new(burst).unwrap() }
}

fn limit(name: &str, per: Per, burst: u32) -> Limit {
    Limit { name: name.into(), per, quota: Some(quota(burst)), concurrency: None, shared: false }
}

fn rates() -> Rates {
    Rates { plans: Vec::new(), api_keys: Vec::new(), account: None, per_address: None, keys: 1000, stored_keys: 10 }
}

fn plan(name: &str) -> UsagePlan {
    UsagePlan { name: name.into(), throttle: None, quota: None, stages: Vec::new(), methods: Vec::new(), shared: false }
}

fn none(_: &str) -> Option<Cow<'static, str>> {
    None
}

fn no_field(_: &HeaderName) -> Option<Vec<u8>> {
    None
}

fn tenant(claim: &str) -> Option<Cow<'static, str>> {
    (claim == "tenant").then_some(Cow::Borrowed("t1"))
}

fn field(name: &HeaderName) -> Option<Vec<u8>> {
    (name == "x-device").then(|| b"phone".to_vec())
}

fn who() -> Who<'static> {
    Who {
        behaviors: &[0],
        stage: "prod",
        method: "GET",
        paths: &["/items/7"],
        address: "192.0.2.1".parse().unwrap(),
        api_key: Some("alice"),
        key_made: 0,
        plan: None,
        principal: None,
        claim: &none,
        header: &no_field,
    }
}

fn at(seconds: u64) -> Now {
    Now { ns: seconds * SECOND, wall_ms: 1_795_694_400_000 + seconds * 1000 }
}

fn limits(rates: &Rates, limits: &[Limit], ledger: Option<Arc<Ledger>>) -> Limits {
    Limits::new(rates, [("api", limits)], &Registry::default(), ledger)
}

#[test]
fn the_first_that_has_nothing_left_refuses_and_later_ones_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::open(dir.path()).unwrap());
    let mut rates = rates();
    let method = MethodThrottle { stage: Some("prod".into()), path: "/items/*".into(), method: None, quota: quota(1) };
    rates.plans.push(UsagePlan {
        throttle: Some(quota(3)),
        quota: Some(PeriodQuota { limit: 5, offset: 1, period: Period::Day, shared: false }),
        methods: vec![method],
        ..plan("gold")
    });
    rates.account = Some(quota(6));
    let own = [limit("own", Per::ApiKey, 5)];
    let limits = limits(&rates, &own, Some(ledger));
    let items = Who { plan: limits.plan(["none", "gold"], "prod"), ..who() };
    assert_eq!(items.plan, Some(0));
    let other = Who { paths: &["/other"], ..items };
    let bob = Who { api_key: Some("bob"), ..other };
    let anonymous = Who { api_key: None, plan: None, ..other };
    let name = |who: &Who<'_>, seconds| match limits.admit(who, at(seconds)) {
        Ok(admitted) => {
            admitted.shown.map_or("nothing".to_owned(), |shown| format!("{} {}", shown.name, shown.remaining))
        }
        Err(refused) => format!("{:?} {}", refused.kind, refused.limit),
    };
    for (step, (who, seconds, want)) in [
        (&items, 0, "gold ANY /items/* 0"),
        // Refused by the method: the plan's throttle (2 left) is not touched.
        (&items, 0, "Throttled gold ANY /items/*"),
        (&items, 0, "Throttled gold ANY /items/*"),
        (&other, 0, "gold 1"),
        (&other, 0, "gold 0"),
        // Refused by the plan's throttle: its quota (4, one is left) is not touched.
        (&other, 0, "Throttled gold"),
        (&bob, 0, "gold 2"),
        // A key of its own has nothing from the plan, only the behavior's and the account's.
        (&anonymous, 0, "own 4"),
        (&anonymous, 0, "own 3"),
        // The account has none left; it is not shown, and what came before it is taken.
        (&anonymous, 0, "Account account"),
        (&anonymous, 1, "own 2"),
        (&other, 2, "gold 0"),
        (&other, 6, "QuotaExceeded gold"),
        // The next day.
        (&other, 86_400, "gold 2"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(name(who, seconds), want, "step {step}");
    }
}

#[test]
fn refusals_say_when_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut rates = rates();
    rates.plans.push(UsagePlan {
        quota: Some(PeriodQuota { limit: 1, offset: 0, period: Period::Day, shared: false }),
        ..plan("p")
    });
    rates.per_address = NonZeroU32::new(2);
    let own = [limit("own", Per::ApiKey, 2)];
    let limits = limits(&rates, &own, Some(Arc::new(Ledger::open(dir.path()).unwrap())));
    let keyed = Who { plan: Some(0), ..who() };
    assert!(limits.admit(&keyed, at(3600)).is_ok());
    let refused = limits.admit(&keyed, at(3600)).unwrap_err();
    assert_eq!((refused.kind, refused.retry_after.as_secs() % 3600), (Kind::QuotaExceeded, 0));
    let shown = refused.shown.unwrap();
    assert_eq!(shown.policy(), "\"p\";q=1;w=86400");
    assert_eq!(shown.rate_limit(), format!("\"p\";r=0;t={}", refused.retry_after.as_secs()).as_str());
    assert!(limits.admit(&who(), at(3600)).is_ok());
    let refused = limits.admit(&who(), at(3600)).unwrap_err();
    assert_eq!((refused.kind, refused.retry_after), (Kind::Throttled, Duration::from_secs(1)));
    assert_eq!(refused.shown.unwrap().rate_limit(), "\"own\";r=0;t=2");
    let early: Vec<_> = (0..3).map(|_| limits.early(who().address, SECOND).map_err(|refused| refused.kind)).collect();
    assert_eq!(early, [Ok(()), Ok(()), Err(Kind::Heavy)]);
}

#[test]
fn a_quota_that_cannot_be_counted_is_not_given_away() {
    let mut rates = rates();
    rates.plans.push(UsagePlan {
        quota: Some(PeriodQuota { limit: 1, offset: 0, period: Period::Day, shared: false }),
        ..plan("p")
    });
    let limits = limits(&rates, &[], None);
    assert!(limits.admit(&who(), at(0)).unwrap().shown.is_none());
    assert_eq!(limits.admit(&Who { plan: Some(0), ..who() }, at(0)).unwrap_err().kind, Kind::Uncounted);
}

/// Concurrency, the behavior's rate and the account refuse in turn; none of that is counted. Shared quotas alike.
#[test]
fn a_request_that_a_later_limit_refuses_uses_up_no_quota() {
    for shared in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(dir.path()).unwrap());
        let day = PeriodQuota { limit: 4, offset: 0, period: Period::Day, shared };
        let mut rates = rates();
        rates.plans.push(UsagePlan { quota: Some(day), shared, ..plan("p") });
        rates.account = Some(quota(4));
        let own = [Limit { concurrency: NonZeroU32::new(1), ..limit("own", Per::Behavior, 2) }];
        let limits = limits(&rates, &own, Some(ledger.clone()));
        let keyed = Who { plan: Some(0), ..who() };
        let elsewhere = Who { behaviors: &[1], ..keyed };
        let refused =
            |who: &Who<'_>, seconds| limits.admit(who, at(seconds)).map_or_else(|refused| Some(refused.kind), |_| None);
        let today = crate::limit::period::day(at(0).wall_ms);
        let used = || ledger.usage(&ledger::id("p", "alice", 0), &day, today, today).unwrap()[0].used;
        let first = limits.admit(&keyed, at(0)).unwrap();
        assert_eq!((refused(&keyed, 0), used()), (Some(Kind::Concurrency), 1));
        drop(first);
        assert_eq!((refused(&keyed, 0), used()), (None, 2));
        assert_eq!((refused(&keyed, 0), used()), (Some(Kind::Throttled), 2));
        assert_eq!((refused(&elsewhere, 0), used()), (None, 3));
        assert_eq!((refused(&elsewhere, 0), used()), (None, 4));
        // The quota's answer comes before the account's, which has nothing left either.
        assert_eq!((refused(&elsewhere, 0), used()), (Some(Kind::QuotaExceeded), 4));
        let bob = Who { api_key: Some("bob"), ..elsewhere };
        assert_eq!(refused(&bob, 0), Some(Kind::Account));
        // Another key was refused by the account: it has all of its quota.
        let of_bob = ledger.usage(&ledger::id("p", "bob", 0), &day, today, today).unwrap();
        assert_eq!((of_bob[0].used, of_bob[0].remaining), (0, 4));
    }
}

/// API Gateway Developer Guide, "Resources": a REST API's resource is the same with a slash behind it.
#[test]
fn a_slash_behind_the_path_gets_past_no_methods_throttle() {
    let mut rates = rates();
    let method = |path: &str| MethodThrottle { stage: None, path: path.into(), method: None, quota: quota(1) };
    rates.plans.push(UsagePlan { methods: vec![method("/slow"), method("/caf%c3%a9")], ..plan("p") });
    let limits = limits(&rates, &[], None);
    let slow = Who { plan: Some(0), paths: &["/slow"], ..who() };
    assert!(limits.admit(&slow, at(0)).is_ok());
    for (paths, admitted) in [
        (&["/caf%C3%A9"][..], true),
        (&["/caf%C3%A9"], false),
        (&["/slow"], false),
        (&["/slow/"], false),
        (&["/slow/x"], true),
        (&["/"], true),
        // However an origin may read it.
        (&["/slow;x", "/slow"], false),
        (&["/slow", "/other"], false),
    ] {
        assert_eq!(limits.admit(&Who { paths, ..slow }, at(0)).is_ok(), admitted, "{paths:?}");
    }
}

#[test]
fn the_limits_of_every_behavior_that_a_path_may_be_read_to_count() {
    let (slow, fast) = ([limit("slow", Per::ApiKey, 1)], [limit("fast", Per::ApiKey, 3)]);
    let limits = Limits::new(&rates(), [("slow", &slow[..]), ("fast", &fast[..])], &Registry::default(), None);
    let asked =
        |behaviors| limits.admit(&Who { behaviors, ..who() }, at(0)).map_err(|refused| refused.limit.to_string());
    assert!(asked(&[1, 0]).is_ok());
    assert_eq!(asked(&[1, 0]).unwrap_err(), "slow");
    assert_eq!(asked(&[0]).unwrap_err(), "slow");
    assert!(asked(&[1]).is_ok());
    assert_eq!(asked(&[1]).unwrap_err(), "fast");
}

#[test]
fn a_quota_that_is_used_up_takes_nothing_from_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let mut rates = rates();
    rates.plans.push(UsagePlan {
        quota: Some(PeriodQuota { limit: 1, offset: 0, period: Period::Day, shared: false }),
        ..plan("p")
    });
    rates.account = Some(quota(2));
    let limits = limits(&rates, &[], Some(Arc::new(Ledger::open(dir.path()).unwrap())));
    let keyed = Who { plan: Some(0), ..who() };
    assert!(limits.admit(&keyed, at(0)).is_ok());
    for _ in 0..5 {
        assert_eq!(limits.admit(&keyed, at(0)).unwrap_err().kind, Kind::QuotaExceeded);
    }
    assert!(limits.admit(&who(), at(0)).is_ok());
}

#[test]
fn requests_at_once_are_given_back() {
    let both = [
        Limit { concurrency: NonZeroU32::new(2), ..limit("both", Per::Behavior, 3) },
        limit("after", Per::Behavior, 100),
    ];
    let limits = limits(&rates(), &both, None);
    let kind = |refused: Result<Admitted, Refused>| refused.unwrap_err().kind;
    let first = limits.admit(&who(), at(0)).unwrap();
    let second = limits.admit(&who(), at(0)).unwrap();
    assert_eq!(kind(limits.admit(&who(), at(0))), Kind::Concurrency);
    drop(first);
    let third = limits.admit(&who(), at(0)).unwrap();
    drop((second, third));
    // Three were taken; the one refused by the rate leaves no request that runs.
    for _ in 0..3 {
        assert_eq!(kind(limits.admit(&who(), at(0))), Kind::Throttled);
    }
    assert_eq!(limits.admit(&who(), at(10)).unwrap().permits.len(), 1);
}

#[test]
fn a_key_counts_in_the_plan_that_opens_the_stage() {
    let mut rates = rates();
    for (name, stages) in [("dev", vec!["dev"]), ("all", vec![]), ("prod", vec!["beta", "prod"])] {
        rates.plans.push(UsagePlan { stages: stages.into_iter().map(str::to_owned).collect(), ..plan(name) });
    }
    let limits = limits(&rates, &[], None);
    for (names, stage, want) in [
        (&["dev", "prod"][..], "prod", Some(2)),
        (&["dev", "prod"], "dev", Some(0)),
        (&["dev", "prod"], "other", None),
        (&["prod", "all"], "other", Some(1)),
        (&["gone"], "prod", None),
        (&[], "prod", None),
    ] {
        assert_eq!(limits.plan(names.iter().copied(), stage), want, "{names:?} {stage}");
    }
}

#[test]
fn what_is_counted_together() {
    let base = Who { principal: Some(("jwt", "pool", "u1")), claim: &tenant, header: &field, ..who() };
    let ip = |text: &str| Who { address: text.parse().unwrap(), ..base };
    let person = |issuer, id| Who { principal: Some(("jwt", issuer, id)), ..base };
    let device = Who { principal: Some(("certificate", "pool", "u1")), ..base };
    let nobody = Who { principal: None, api_key: None, claim: &none, header: &no_field, ..base };
    let net = |v4, v6| Per::Address { v4, v6 };
    let claim = Per::Claim("tenant".into());
    let header = Per::Header(HeaderName::from_static("x-device"));
    for (per, one, other, same) in [
        (Per::Behavior, base, nobody, true),
        (net(32, 64), ip("192.0.2.1"), ip("192.0.2.2"), false),
        (net(24, 64), ip("192.0.2.1"), ip("192.0.2.2"), true),
        (net(24, 64), ip("192.0.2.1"), ip("::ffff:192.0.2.9"), true),
        (net(0, 0), ip("192.0.2.1"), ip("198.51.100.1"), true),
        (net(32, 56), ip("2001:db8::1"), ip("2001:db8:0:ff::1"), true),
        (net(32, 56), ip("2001:db8::1"), ip("2001:db8:0:100::1"), false),
        (net(255, 255), ip("2001:db8::1"), ip("2001:db8::2"), false),
        (Per::ApiKey, base, Who { api_key: Some("bob"), ..base }, false),
        (Per::ApiKey, nobody, nobody, true),
        (Per::ApiKey, nobody, Who { api_key: Some(""), ..nobody }, false),
        (Per::Principal, person("pool", "u1"), person("other", "u1"), false),
        (Per::Principal, person("pool", "u1"), person("pool", "u1"), true),
        (Per::Principal, person("pool", "u1"), device, false),
        (claim.clone(), base, person("pool", "u2"), true),
        (claim, base, nobody, false),
        (header.clone(), base, person("pool", "u2"), true),
        (header, base, nobody, false),
    ] {
        assert_eq!(key(&per, &one) == key(&per, &other), same, "{per:?} {:?} {:?}", one.address, other.address);
    }
}

#[test]
fn a_reload_keeps_what_is_taken() {
    let registry = Registry::default();
    let own = [limit("own", Per::ApiKey, 1)];
    let old = Limits::new(&rates(), [("api", &own[..])], &registry, None);
    assert!(old.admit(&who(), at(0)).is_ok());
    // The behavior is now the second.
    let new = Limits::new(&rates(), [("first", &[][..]), ("api", &own[..])], &registry, None);
    drop(old);
    assert!(new.admit(&Who { behaviors: &[1], ..who() }, at(0)).is_err());
    assert!(new.admit(&Who { behaviors: &[9], ..who() }, at(0)).is_ok());
}
