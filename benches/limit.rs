//! What does it cost to ask whether somebody may come? One bucket among a million, an API key and its plan, a quota that is
//! written down, a list of a hundred thousand networks.

use std::borrow::Cow;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderName;
use ipnet::IpNet;
use rimward::access::addresses::Set;
use rimward::access::keys::{self, Key, Keys};
use rimward::config::compiled::{Limit, Per, Period, PeriodQuota, Quota, Rates, UsagePlan};
use rimward::limit::{Buckets, Clock, Heavy, Ledger, Limits, PlanId, Registry, Who, ledger};

const KEYS: u64 = 1 << 20;

fn quota(a_second: u32, burst: u32) -> Quota {
    Quota { every: Duration::from_secs(1) / a_second, burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN) }
}

/// Visits them in an order that no cache foresees.
fn next(n: &mut u64) -> u64 {
    *n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*n >> 20) % KEYS
}

fn buckets(c: &mut Criterion) {
    let buckets = Buckets::new(Quota { every: Duration::from_secs(3600), ..quota(1, 100) }, KEYS as usize);
    for key in 0..KEYS {
        buckets.check(&key.to_le_bytes(), 1);
    }
    println!("limit: {} live keys in {} KiB", buckets.live(2), buckets.bytes() / 1024);
    let (mut n, mut now, clock) = (1, 2, Clock::new());
    c.bench_function("limit/the time", |b| b.iter(|| clock.now().ns));
    c.bench_function("limit/one of 1 M live keys", |b| {
        b.iter(|| {
            now += 1000;
            buckets.check(black_box(&next(&mut n).to_le_bytes()), now).allowed
        });
    });
    c.bench_function("limit/a key that is new", |b| {
        b.iter(|| {
            n += 1;
            now += 1000;
            buckets.check(black_box(&(n | 1 << 63).to_le_bytes()), now).allowed
        });
    });
    let heavy = Heavy::new(NonZeroU32::MAX);
    c.bench_function("limit/heavy hitters", |b| {
        b.iter(|| {
            now += 1000;
            let address = Ipv4Addr::from_bits(next(&mut n) as u32);
            heavy.allowed(black_box(address.into()), now)
        });
    });
}

fn none<'a>(_: &str) -> Option<Cow<'a, str>> {
    None
}

fn no_field(_: &HeaderName) -> Option<Vec<u8>> {
    None
}

fn who(key: &str, plan: Option<PlanId>) -> Who<'_> {
    Who {
        behaviors: &[0],
        stage: "prod",
        method: "GET",
        paths: &["/items/7"],
        address: Ipv4Addr::LOCALHOST.into(),
        api_key: Some(key),
        key_made: 0,
        plan,
        principal: None,
        claim: &none,
        header: &no_field,
    }
}

fn plans(c: &mut Criterion) {
    let value = |n: u64| format!("{n:040}");
    let keyring = Keys::new((0..10_000).map(|n| {
        let key =
            Key { name: format!("key-{n}").into(), enabled: true, plans: vec!["free".into(), "gold".into()], made: 0 };
        (keys::hash(value(n).as_bytes()), key)
    }));
    let plan = |name: &str, stages: &[&str], quota: Option<PeriodQuota>| UsagePlan {
        name: name.into(),
        throttle: Some(self::quota(10_000_000, u32::MAX)),
        quota,
        stages: stages.iter().map(|&stage| stage.to_owned()).collect(),
        methods: Vec::new(),
        shared: false,
    };
    let month = PeriodQuota { limit: u64::MAX, offset: 0, period: Period::Month, shared: false };
    let rates = Rates {
        plans: vec![plan("free", &["dev"], None), plan("gold", &["prod"], None), plan("counted", &[], Some(month))],
        api_keys: Vec::new(),
        account: Some(quota(10_000_000, u32::MAX)),
        per_address: None,
        keys: KEYS as usize,
        stored_keys: 0,
    };
    let own = [Limit {
        name: "per-ip".into(),
        per: Per::Address { v4: 32, v6: 64 },
        quota: Some(quota(10_000_000, u32::MAX)),
        concurrency: None,
        shared: false,
    }];
    let Ok(dir) = tempfile::tempdir() else { return };
    let Ok(ledger) = Ledger::open(dir.path()) else { return };
    // As in a process that has run for a second.
    if ledger.settle().is_err() {
        return;
    }
    let ledger = Arc::new(ledger);
    let limits = Limits::new(&rates, [("api", &own[..])], &Registry::default(), Some(ledger.clone()));
    let (mut n, clock) = (1, Clock::new());
    let values: Vec<String> = (0..10_000).map(value).collect();
    c.bench_function("limit/API key of 10,000", |b| {
        b.iter(|| keyring.lookup(black_box(values[next(&mut n) as usize % values.len()].as_bytes())).is_some());
    });
    c.bench_function("limit/API key, plan, own limit, account", |b| {
        b.iter(|| {
            let key = keyring.lookup(black_box(values[next(&mut n) as usize % values.len()].as_bytes()));
            let Some(key) = key else { return false };
            let plan = limits.plan(key.plans.iter().map(String::as_str), "prod");
            limits.admit(&who(&key.name, plan), clock.now()).is_ok()
        });
    });
    c.bench_function("limit/plan with a quota, own limit, account", |b| {
        b.iter(|| limits.admit(&who("alice", Some(2)), clock.now()).is_ok());
    });
    let id = ledger::id("gold", "alice", 0);
    c.bench_function("limit/one more in the ledger", |b| {
        b.iter(|| ledger.count(&id, black_box(&month), clock.now().wall_ms).is_ok_and(|counted| counted.admitted));
    });
}

fn addresses(c: &mut Criterion) {
    let mut n = 1;
    let nets: Vec<IpNet> = (0..100_000)
        .filter_map(|_| {
            let bits = next(&mut n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            IpNet::new(IpAddr::V4(Ipv4Addr::from_bits((bits >> 32) as u32)), 24 + (bits % 9) as u8).ok()
        })
        .collect();
    let set = Set::new(&nets);
    println!("limit: {} networks in {} KiB", nets.len(), set.bytes() / 1024);
    c.bench_function("limit/an address in 100,000 networks", |b| {
        b.iter(|| {
            let bits = next(&mut n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            set.contains(black_box(Ipv4Addr::from_bits((bits >> 32) as u32).into()))
        });
    });
}

criterion_group!(benches, buckets, plans, addresses);
criterion_main!(benches);
