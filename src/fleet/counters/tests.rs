//! Simulations of several nodes, and the exchange over a bus in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;

use async_trait::async_trait;
use futures::stream;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use super::*;
use crate::config::compiled::{Per, Period, PeriodQuota, Quota};
use crate::fleet::bus::{Digest, Tail};
use crate::limit::ledger::{self, Told};
use crate::limit::{Buckets, Scope};

const MS: u64 = 1_000_000;
/// Milliseconds of one simulation.
const SPAN: u64 = 40_000;

fn scope() -> Scope {
    Scope::Limit { behavior: "b".into(), limit: "l".into(), per: Per::ApiKey }
}

/// One node of a simulation.
struct Node {
    registry: Registry,
    buckets: Arc<Buckets>,
    hearing: Hearing,
    boot: u64,
    sequence: u64,
    /// Cut from the bus until then.
    cut_until: u64,
}

/// How one simulation goes.
struct World {
    nodes: usize,
    quota: Quota,
    exchange: Duration,
    silence: Duration,
    /// The longest way of a message.
    delay: u64,
    cuts: bool,
    seed: u64,
}

/// What came of it.
struct Outcome {
    /// Times at which something was admitted, in order.
    admitted: Vec<u64>,
    cuts: u64,
}

fn simulate(world: &World) -> Outcome {
    let mut rng = StdRng::seed_from_u64(world.seed);
    let names: Vec<String> = (0..world.nodes).map(|n| format!("n{n}")).collect();
    let mut nodes: Vec<Node> = names
        .iter()
        .map(|name| {
            let registry = Registry::new(1);
            let buckets = registry.buckets_of(scope(), world.quota, 100, true);
            let hearing = Hearing::new(name.clone(), names.iter().cloned(), world.exchange, world.silence);
            Node { registry, buckets, hearing, boot: rng.random(), sequence: 0, cut_until: 0 }
        })
        .collect();
    // All have heard of each other when it begins.
    let boots: Vec<u64> = nodes.iter().map(|node| node.boot).collect();
    for node in &mut nodes {
        for (name, boot) in names.iter().zip(&boots) {
            node.hearing.hear(name, *boot, 1, 0);
        }
        node.sequence = 1;
    }
    let exchange = world.exchange.as_nanos() as u64;
    let told_within = world.exchange + world.silence;
    let every = world.quota.every.as_nanos() as u64;
    // What happens when: a demand, an exchange, a message that arrives.
    let mut queue = BinaryHeap::new();
    let mut messages: Vec<(usize, usize, Bytes)> = Vec::new();
    let end = SPAN * MS;
    for n in 0..world.nodes {
        queue.push(Reverse((rng.random_range(0..exchange), 1, n)));
        queue.push(Reverse((rng.random_range(0..every.max(2)), 0, n)));
    }
    let mut outcome = Outcome { admitted: Vec::new(), cuts: 0 };
    while let Some(Reverse((now, kind, which))) = queue.pop() {
        if now > end {
            break;
        }
        match kind {
            0 => {
                // Bursts, and now and then a rest that fills every bucket.
                let node = &nodes[which];
                for _ in 0..rng.random_range(1..=world.quota.burst.get() * 2) {
                    if node.buckets.check(b"key", now).allowed {
                        outcome.admitted.push(now);
                    }
                }
                let rest = if rng.random_ratio(1, 50) { every * u64::from(world.quota.burst.get()) } else { every };
                queue.push(Reverse((now + rng.random_range(1..=rest), 0, which)));
            }
            1 => {
                let share = nodes[which].hearing.share(now);
                let node = &mut nodes[which];
                if world.cuts && now >= node.cut_until && rng.random_ratio(1, 60) {
                    node.cut_until = now + rng.random_range(exchange..20_000 * MS);
                    outcome.cuts += 1;
                }
                node.registry.sharing().set_share(share);
                let spent = node.registry.sharing().drain(KEYS_MAX);
                node.sequence += 1;
                if now < node.cut_until {
                    if share.heard > 1 {
                        node.registry.sharing().restore(spent);
                    }
                } else {
                    let body = Rates { boot: node.boot, sequence: node.sequence, spent }.encode();
                    for to in 0..world.nodes {
                        // Now and then twice; each on its own way, so that they pass one another.
                        for _ in 0..if rng.random_ratio(1, 10) { 2 } else { 1 } {
                            messages.push((which, to, body.clone()));
                            queue.push(Reverse((now + rng.random_range(0..=world.delay), 2, messages.len() - 1)));
                        }
                    }
                }
                queue.push(Reverse((now + exchange, 1, which)));
            }
            _ => {
                let (from, to, body) = &messages[which];
                let node = &mut nodes[*to];
                if now < node.cut_until {
                    continue;
                }
                let rates = Rates::decode(body).unwrap();
                if node.hearing.hear(&names[*from], rates.boot, rates.sequence, now) {
                    rates.spent.into_iter().for_each(|spent| node.registry.sharing().charge(spent, now, told_within));
                }
            }
        }
    }
    outcome
}

/// The most that is admitted in any time t beyond rate · t.
fn excess(admitted: &[u64], every: u64) -> f64 {
    let (mut least, mut most) = (f64::MAX, 0.0f64);
    for (n, &at) in admitted.iter().enumerate() {
        let ahead = n as f64 - at as f64 / every as f64;
        least = least.min(ahead);
        most = most.max(ahead + 1.0 - least);
    }
    most
}

#[test]
fn nodes_together_stay_within_the_stated_bound() {
    let (mut cut, mut tightest) = (0, 0.0f64);
    for seed in 0..2000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let quota = Quota {
            every: Duration::from_millis(rng.random_range(100..2000)),
            burst: NonZeroU32::new(rng.random_range(1..20)).unwrap(),
        };
        let world = World {
            nodes: rng.random_range(1..=5),
            quota,
            exchange: Duration::from_millis(rng.random_range(200..2000)),
            silence: Duration::from_millis(2000),
            delay: rng.random_range(0..1000) * MS,
            cuts: seed % 2 == 1,
            seed,
        };
        let outcome = simulate(&world);
        let every = quota.every.as_nanos() as f64;
        let (burst, others) = (f64::from(quota.burst.get()), (world.nodes - 1) as f64);
        // Until a cut is noticed, and until the node that is cut looks.
        let quiet = world.silence.max(world.exchange * 2) + world.exchange;
        let told = if outcome.cuts > 0 { quiet.as_nanos() as f64 } else { world.delay as f64 };
        let unseen = burst + (world.exchange.as_nanos() as f64 + told) / every;
        let bound = burst + others * unseen * (outcome.cuts + 1) as f64;
        let found = excess(&outcome.admitted, quota.every.as_nanos() as u64);
        assert!(found <= bound + 1e-6, "seed {seed}: {found} beyond the rate, bound {bound}");
        cut += u64::from(outcome.cuts > 0);
        if outcome.cuts == 0 {
            tightest = tightest.max(found / bound);
            // And it is no bound by standing still: what flows in is used, but for the debts.
            let most = (SPAN * MS) as f64 / every;
            let used = outcome.admitted.len() as f64;
            assert!(used >= most * 0.5 - bound, "seed {seed}: {used} of {most}");
        }
    }
    assert!(cut > 300, "{cut} of them had cuts");
    assert!(tightest > 0.5, "the bound is far from what happens: {tightest}");
}

#[test]
fn quotas_are_exact_once_all_is_heard() {
    for seed in 0..25 {
        let mut rng = StdRng::seed_from_u64(seed);
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut ledgers: Vec<Ledger> = dirs.iter().map(|dir| Ledger::open(dir.path()).unwrap()).collect();
        let quota = PeriodQuota { limit: 400, offset: 0, period: Period::Month, shared: true };
        let now = |day: u64| (20_780 + day) * 86_400_000;
        let id = ledger::id("gold", "alice", 0);
        // Every message that was ever sent may come again.
        let mut sent: Vec<(u64, Vec<Told>)> = Vec::new();
        let (mut admitted, mut unheard) = (0, 0);
        for round in 0..60 {
            let which = rng.random_range(0..3);
            for _ in 0..rng.random_range(0..20) {
                let counted = ledgers[which].count(&id, &quota, now(round / 20)).unwrap();
                admitted += u64::from(counted.admitted);
            }
            if rng.random_ratio(1, 2) {
                let lineage = ledgers[which].lineage();
                sent.extend(ledgers[which].told().unwrap().into_iter().map(|(_, told)| (lineage, told)));
            } else {
                unheard += 20;
            }
            if rng.random_ratio(1, 10) {
                // A process that ends at any moment: the file is all that is left.
                let path = dirs[which].path();
                drop(std::mem::replace(&mut ledgers[which], Ledger::open(path).unwrap()));
            }
            for _ in 0..rng.random_range(0..4) {
                if let Some((lineage, told)) = sent.get(rng.random_range(0..sent.len().max(1))) {
                    ledgers[rng.random_range(0..3)].hear(*lineage, told);
                }
            }
        }
        // All hear all, the newest in any order.
        let newest: Vec<_> = ledgers
            .iter()
            .map(|ledger| {
                (0..=255).for_each(|part| ledger.tell_again(part));
                (ledger.lineage(), ledger.told().unwrap())
            })
            .collect();
        for ledger in &ledgers {
            for (lineage, parts) in newest.iter().rev() {
                parts.iter().for_each(|(_, told)| ledger.hear(*lineage, told));
            }
            let (from, to) = (20_780, 20_783);
            let used: u64 = ledger.usage(&id, &quota, from, to).unwrap().iter().map(|day| day.used).sum();
            assert_eq!(used, admitted, "seed {seed}");
            let next = ledger.count(&id, &quota, now(3)).unwrap();
            assert_eq!((next.admitted, next.limit), (admitted < 400, 400), "seed {seed}");
            admitted += u64::from(next.admitted);
            let told = ledger.told().unwrap();
            ledgers.iter().for_each(|other| told.iter().for_each(|(_, told)| other.hear(ledger.lineage(), told)));
        }
        assert!(admitted <= 400 + unheard + 60 * 20, "seed {seed}");
    }
}

#[test]
fn a_part_that_is_cut_off_uses_its_share_of_what_is_left() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let ledgers: Vec<Ledger> = dirs.iter().map(|dir| Ledger::open(dir.path()).unwrap()).collect();
    let quota = PeriodQuota { limit: 3000, offset: 0, period: Period::Day, shared: true };
    let (id, now) = (ledger::id("gold", "bob", 0), 20_780 * 86_400_000);
    let spend =
        |ledger: &Ledger, most: u64| (0..most).filter(|_| ledger.count(&id, &quota, now).unwrap().admitted).count();
    assert_eq!(spend(&ledgers[0], 600), 600);
    for (_, told) in ledgers[0].told().unwrap() {
        ledgers[1..].iter().for_each(|ledger| ledger.hear(ledgers[0].lineage(), &told));
    }
    ledgers.iter().for_each(|ledger| ledger.set_share(Share::new(1, 3)));
    // 2400 are left: 800 each.
    assert_eq!(ledgers.iter().map(|ledger| spend(ledger, 5000)).collect::<Vec<_>>(), [800, 800, 800]);
    ledgers.iter().for_each(|ledger| ledger.set_share(Share::new(3, 3)));
    for from in &ledgers {
        for (_, told) in from.told().unwrap() {
            ledgers.iter().for_each(|to| to.hear(from.lineage(), &told));
        }
    }
    assert_eq!(ledgers.iter().map(|ledger| spend(ledger, 10)).sum::<usize>(), 0);
}

type Kept = Arc<Mutex<Vec<(Topic, Message)>>>;
/// How far a tail is in what is kept.
type Place = (Kept, usize, watch::Receiver<usize>);

/// A bus within the process.
#[derive(Debug, Default)]
struct Memory {
    kept: Kept,
    newest: watch::Sender<usize>,
}

#[async_trait]
impl Bus for Memory {
    async fn publish(&self, topic: Topic, message: Message) -> Result<Seq, BusError> {
        let mut kept = self.kept.lock();
        kept.push((topic, message));
        self.newest.send_replace(kept.len());
        Ok(Seq(kept.len() as u64))
    }

    async fn tail(&self, topic: Topic, after: Seq) -> Result<Tail, BusError> {
        let state = (self.kept.clone(), after.0 as usize, self.newest.subscribe());
        let next = move |(kept, mut at, mut newest): Place| async move {
            loop {
                let found = kept
                    .lock()
                    .iter()
                    .enumerate()
                    .skip(at)
                    .find(|(_, (of, _))| *of == topic)
                    .map(|(n, (_, m))| (n, m.clone()));
                if let Some((n, message)) = found {
                    at = n + 1;
                    return Some((Ok(Delivered::Message { seq: Seq(at as u64), message }), (kept, at, newest)));
                }
                newest.changed().await.ok()?;
            }
        };
        Ok(stream::unfold(state, next).boxed())
    }

    async fn head(&self, _: Topic) -> Result<Seq, BusError> {
        Ok(Seq(*self.newest.borrow() as u64))
    }

    async fn put_blob(&self, _: Bytes) -> Result<Digest, BusError> {
        Err(BusError::Refused("no blobs".into()))
    }

    async fn blob(&self, digest: Digest) -> Result<Bytes, BusError> {
        Err(BusError::NoBlob(digest))
    }

    async fn touch_blob(&self, digest: Digest) -> Result<(), BusError> {
        Err(BusError::NoBlob(digest))
    }

    async fn blobs(&self) -> Result<Vec<Digest>, BusError> {
        Ok(Vec::new())
    }

    async fn forget_blob(&self, _: Digest, _: Duration) -> Result<bool, BusError> {
        Ok(true)
    }

    async fn close(&self) {}
}

/// Everything a node has, exchanging over `bus` until it is dropped.
fn start(
    bus: &Arc<Memory>,
    name: &str,
    dir: &std::path::Path,
) -> (Arc<Registry>, Arc<Ledger>, tokio::task::JoinHandle<()>) {
    let (registry, ledger) = (Arc::new(Registry::new(5)), Arc::new(Ledger::open(dir).unwrap()));
    let settings = Settings {
        node: name.to_owned(),
        peers: vec!["a".to_owned(), "b".to_owned()],
        exchange: Duration::from_millis(10),
        silence: Duration::from_secs(60),
    };
    let (bus, limits, counts): (Arc<dyn Bus>, _, _) = (bus.clone(), registry.clone(), ledger.clone());
    let task = tokio::spawn(async move {
        let ledger = move || Some(counts.clone());
        run(bus, &settings, &Shared { limits: &limits, clock: Clock::new(), ledger: &ledger }).await;
    });
    (registry, ledger, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_admits_is_taken_from_the_other() {
    let (bus, dirs) = (Arc::new(Memory::default()), [(); 2].map(|()| tempfile::tempdir().unwrap()));
    let (a, a_ledger, a_task) = start(&bus, "a", dirs[0].path());
    let (b, b_ledger, b_task) = start(&bus, "b", dirs[1].path());
    let hour = Quota { every: Duration::from_secs(3600), burst: NonZeroU32::new(10).unwrap() };
    let [of_a, of_b] = [&a, &b].map(|registry| registry.buckets_of(scope(), hour, 100, true));
    let until = async |what: &str, condition: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !condition() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let whole = |registry: &Registry| registry.sharing().share() == Share::new(2, 2);
    until("both to hear each other", &|| whole(&a) && whole(&b)).await;
    assert_eq!((0..20).filter(|_| of_a.check(b"key", 0).allowed).count(), 10);
    // Only looked at: what b's bucket lacks is what it was told.
    until("b to know", &|| of_b.live(0) == 1).await;
    until("b to be out of tokens", &|| !of_b.check(b"key", 0).allowed).await;
    let quota = PeriodQuota { limit: 100, offset: 0, period: Period::Month, shared: true };
    let (id, ms) = (ledger::id("gold", "carol", 0), 20_780 * 86_400_000);
    assert_eq!((0..70).filter(|_| a_ledger.count(&id, &quota, ms).unwrap().admitted).count(), 70);
    let used = |ledger: &Ledger| ledger.usage(&id, &quota, 20_780, 20_780).unwrap()[0].used;
    until("b to know", &|| used(&b_ledger) == 70).await;
    assert_eq!((0..70).filter(|_| b_ledger.count(&id, &quota, ms).unwrap().admitted).count(), 30);
    until("a to know", &|| used(&a_ledger) == 100).await;
    assert!(!a_ledger.count(&id, &quota, ms).unwrap().admitted);
    [a_task, b_task].iter().for_each(tokio::task::JoinHandle::abort);
}
