//! Tests of the ledger: with processes that are killed, two at once, broken bytes, and the calendar.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;

use super::*;
use crate::config::compiled::Period;

const KEY: &str = "RIMWARD_TEST_LEDGER";

fn quota(limit: u64, period: Period) -> PeriodQuota {
    PeriodQuota { limit, offset: 0, period, shared: false }
}

fn ms(date: &str) -> u64 {
    period::begins_ms(period::parse(date).unwrap()) + 12 * 3_600_000
}

/// Counts until `most` are admitted or one is refused.
fn spend(ledger: &Ledger, id: &Id, quota: &PeriodQuota, now_ms: u64, most: u64) -> u64 {
    (0..most).take_while(|_| ledger.count(id, quota, now_ms).unwrap().admitted).count() as u64
}

/// Alone it has the whole quota. As the process that others start and kill, it says each number once it is admitted.
#[test]
fn a_process_spends_what_is_left() {
    let own = tempfile::tempdir().unwrap();
    let given = std::env::var_os(KEY);
    let ledger = Ledger::open(given.as_deref().map_or(own.path(), Path::new)).unwrap();
    let mut out = std::io::stdout();
    let (id, quota) = (id("gold", "alice", 0), quota(5000, Period::Day));
    let mut counted = 0;
    while ledger.count(&id, &quota, ms("2026-11-26")).unwrap().admitted {
        if given.is_some() {
            out.write_all(b"admitted\n").unwrap();
        }
        // As a process does every second: from here on alone, until another one comes.
        if counted % 64 == 32 {
            ledger.settle().unwrap();
        }
        counted += 1;
    }
    assert!(given.is_some() || counted == 5000, "{counted}");
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["limit::ledger::tests::a_process_spends_what_is_left", "--exact", "--nocapture"])
        .env(KEY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn admitted(line: &str) -> bool {
    line.ends_with("admitted")
}

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let id = id("gold", "alice", 0);
    let (mut told, mut kills) = (0, 0);
    for round in 1..=6 {
        let mut child = start(dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        told += lines.by_ref().filter(|line| admitted(line)).take(round * 97).count() as u64;
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        told += lines.filter(|line| admitted(line)).count() as u64;
        let ledger = Ledger::open(dir.path()).unwrap();
        let day = period::parse("2026-11-26").unwrap();
        let used = ledger.usage(&id, &quota(5000, Period::Day), day, day).unwrap()[0].used;
        // Each kill may have come between the count and the word that it was counted.
        assert!((told..=told + kills).contains(&used), "told {told}, used {used}, round {round}");
    }
    let mut last = start(dir.path());
    let lines = BufReader::new(last.stdout.take().unwrap()).lines().map_while(Result::ok);
    told += lines.filter(|line| admitted(line)).count() as u64;
    last.wait().unwrap();
    assert!((5000 - kills..=5000).contains(&told), "{told}");
}

#[test]
fn two_processes_share_one_quota() {
    let dir = tempfile::tempdir().unwrap();
    let children = [start(dir.path()), start(dir.path()), start(dir.path())];
    let told: usize = children
        .into_iter()
        .map(|child| {
            let out = child.wait_with_output().unwrap();
            String::from_utf8_lossy(&out.stdout).lines().filter(|line| admitted(line)).count()
        })
        .sum();
    // Each ended with its first refusal, which may have been because another had counted and was about to take back.
    let ledger = Ledger::open(dir.path()).unwrap();
    let rest = spend(&ledger, &id("gold", "alice", 0), &quota(5000, Period::Day), ms("2026-11-26"), 100);
    assert!(rest < 3 && told as u64 + rest == 5000, "{told} and {rest}");
}

#[test]
fn eight_threads_and_two_ledgers_give_away_exactly_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = [Ledger::open(dir.path()).unwrap(), Ledger::open(dir.path()).unwrap()];
    let (id, quota) = (id("gold", "alice", 0), quota(3000, Period::Month));
    let total = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (ledger, total, id, quota) = (&ledgers[thread % 2], &total, &id, &quota);
            scope.spawn(move || total.fetch_add(spend(ledger, id, quota, ms("2026-11-26"), 1000), Ordering::Relaxed));
        }
    });
    let rest = spend(&ledgers[0], &id, &quota, ms("2026-11-26"), 100);
    let total = total.into_inner();
    assert!(rest < 8 && total + rest == 3000, "{total} and {rest}");
    let day = period::parse("2026-11-26").unwrap();
    for ledger in &ledgers {
        assert_eq!(ledger.usage(&id, &quota, day, day).unwrap(), [DayUse { day, used: 3000, remaining: 0 }]);
        ledger.sync().unwrap();
    }
}

#[test]
fn periods_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    for (period, days) in [
        (Period::Day, [("2026-11-26", 10), ("2026-11-26", 0), ("2026-11-27", 10), ("2026-11-28", 10)]),
        (Period::Week, [("2026-11-26", 10), ("2026-11-29", 0), ("2026-11-30", 10), ("2026-12-06", 0)]),
        (Period::Month, [("2026-02-01", 10), ("2026-02-28", 0), ("2026-03-01", 10), ("2026-03-31", 0)]),
        // The clock is set back into the period before, and far back.
        (Period::Month, [("2026-11-01", 10), ("2026-12-01", 10), ("2026-11-30", 0), ("2026-12-02", 0)]),
    ] {
        let id = id(&format!("{period:?} {days:?}"), "k", 0);
        for (date, want) in days {
            assert_eq!(spend(&ledger, &id, &quota(10, period), ms(date), 100), want, "{period:?} {date}");
        }
    }
    let counted = ledger.count(&id("w", "k", 0), &quota(10, Period::Week), ms("2026-11-29")).unwrap();
    let want = Counted { admitted: true, used: 1, limit: 10, resets_in: Duration::from_secs(12 * 3600) };
    assert_eq!(counted, want);
}

#[test]
fn the_offset_is_taken_off_once() {
    let dir = tempfile::tempdir().unwrap();
    let quota = PeriodQuota { limit: 10, offset: 4, period: Period::Week, shared: false };
    let id = id("gold", "bob", 0);
    for (date, want) in [("2026-11-25", 6), ("2026-11-26", 0), ("2026-11-30", 10), ("2026-12-07", 10)] {
        // The first period is known after a restart, too.
        let ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(spend(&ledger, &id, &quota, ms(date), 100), want, "{date}");
    }
}

#[test]
fn usage_tells_each_day() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let (id, quota) = (id("gold", "alice", 0), quota(10, Period::Week));
    for (date, count) in [("2026-11-28", 2), ("2026-11-29", 1), ("2026-11-30", 3)] {
        assert_eq!(spend(&ledger, &id, &quota, ms(date), count), count);
    }
    let day = |text: &str| period::parse(text).unwrap();
    let got = ledger.usage(&id, &quota, day("2026-11-27"), day("2026-12-01")).unwrap();
    let got: Vec<_> = got.iter().map(|d| (period::text(d.day), d.used, d.remaining)).collect();
    let want =
        [("2026-11-27", 0, 10), ("2026-11-28", 2, 8), ("2026-11-29", 1, 7), ("2026-11-30", 3, 7), ("2026-12-01", 0, 7)];
    assert_eq!(got, want.map(|(day, used, left)| (day.to_owned(), used, left)));
    assert_eq!(ledger.usage(&super::id("gold", "nobody", 0), &quota, 1, 1).unwrap()[0].used, 0);
}

#[test]
fn what_is_no_ledger_is_set_aside() {
    for strange in [&b"x"[..], &[b'x'; 5000], b"RIMWARD QUOTA 9\n"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("quota.ledger");
        std::fs::write(&path, strange).unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(spend(&ledger, &id("p", "k", 0), &quota(5, Period::Day), ms("2026-11-26"), 9), 5);
        assert_eq!(std::fs::read(dir.path().join("quota.broken-0")).unwrap(), strange);
        drop(ledger);
        Ledger::open(dir.path()).unwrap();
        assert!(!dir.path().join("quota.broken-1").exists());
    }
}

#[test]
fn broken_slots_begin_anew_and_harm_nobody_else() {
    let (quota, now) = (quota(10, Period::Day), ms("2026-11-26"));
    let ids = [id("p", "a", 0), id("p", "b", 0), id("p", "c", 0)];
    for (at, len, left) in [
        // The head of the second slot, a lane of it, all of it, an odd end of the file.
        (2 * SLOT as u64, 4, [0, 10, 0]),
        (2 * SLOT as u64 + 100, 1, [0, 10, 0]),
        (2 * SLOT as u64, SLOT, [0, 10, 0]),
        (4 * SLOT as u64, 100, [0, 0, 0]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        for id in &ids {
            assert_eq!(spend(&ledger, id, &quota, now, 100), 10);
        }
        ledger.file.write_all_at(&vec![0x5a; len], at).unwrap();
        drop(ledger);
        let ledger = Ledger::open(dir.path()).unwrap();
        for (id, left) in ids.iter().zip(left) {
            assert_eq!(spend(&ledger, id, &quota, now, 100), left, "{at} {len}");
        }
    }
}

#[test]
fn lanes_and_slots_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let held: Vec<_> = (0..LANES).map(|_| Ledger::open(dir.path()).unwrap()).collect();
    assert!(matches!(Ledger::open(dir.path()), Err(LedgerError::Lanes { .. })));
    drop(held);
    let ledger = Ledger::open(dir.path()).unwrap();
    let (early, late) = (ms("2026-01-01"), ms("2026-03-01"));
    let quota = quota(5, Period::Day);
    // All but two slots are used by others.
    let others: Vec<u8> = (0..SLOTS - 2)
        .flat_map(|n| {
            let head = Head { id: id("others", &n.to_string(), 0), first: period::day(early) }.encode();
            head.into_iter().chain([0; SLOT]).take(SLOT)
        })
        .collect();
    ledger.file.write_all_at(&others, offset(0)).unwrap();
    ledger.count(&id("p", "a", 0), &quota, early).unwrap();
    ledger.count(&id("p", "b", 0), &quota, early).unwrap();
    assert!(matches!(ledger.count(&id("p", "c", 0), &quota, early), Err(LedgerError::Full)));
    // Two months later all are forgotten, but "b" is counted in again.
    let second = Ledger::open(dir.path()).unwrap();
    assert_eq!(spend(&ledger, &id("p", "b", 0), &quota, late, 9), 5);
    for key in ["c", "d", "e"] {
        assert_eq!(spend(&ledger, &id("p", key, 0), &quota, late, 2), 2);
        // What another process gave away is found, and not given away again.
        assert_eq!(spend(&second, &id("p", key, 0), &quota, late, 9), 3, "{key}");
    }
    assert_eq!(spend(&second, &id("p", "b", 0), &quota, late, 1), 0);
}

#[test]
fn what_is_spent_is_seen_without_a_count_alone_or_not() {
    let now = ms("2026-11-26");
    for alone in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        if alone {
            ledger.settle().unwrap();
        }
        assert_eq!(ledger.alone.load(Ordering::Acquire), alone);
        for shared in [false, true] {
            let quota = PeriodQuota { shared, ..quota(3, Period::Month) };
            let id = id("gold", if shared { "ana" } else { "ben" }, 0);
            for used in 0..3 {
                assert!(ledger.spent(&id, &quota, now).unwrap().is_none(), "{alone} {shared} {used}");
                assert!(ledger.count(&id, &quota, now).unwrap().admitted, "{alone} {shared} {used}");
            }
            let (spent, counted) = (ledger.spent(&id, &quota, now).unwrap(), ledger.count(&id, &quota, now).unwrap());
            assert_eq!(spent, Some(counted), "{alone} {shared}");
            assert!(ledger.spent(&id, &quota, ms("2026-12-01")).unwrap().is_none(), "a new month: {alone} {shared}");
        }
    }
}

#[test]
fn who_is_alone_counts_from_memory_and_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let first = Ledger::open(dir.path()).unwrap();
    let (id, now) = (id("gold", "alice", 0), ms("2026-11-26"));
    let (quota, offset) = (quota(1000, Period::Week), PeriodQuota { offset: 100, ..quota(1000, Period::Week) });
    assert_eq!(spend(&first, &id, &quota, ms("2026-11-25"), 10), 10);
    first.settle().unwrap();
    assert!(first.alone.load(Ordering::Acquire));
    assert_eq!(spend(&first, &id, &quota, now, 90), 90);
    let counted = first.count(&id, &offset, now).unwrap();
    assert_eq!((counted.used, counted.limit), (101, 900), "all that was counted before, of this period's limit");
    let held = std::thread::scope(|scope| {
        let opening = scope.spawn(|| Ledger::open(dir.path()).unwrap());
        let mut some = 50;
        while !opening.is_finished() {
            first.settle().unwrap();
            some -= spend(&first, &id, &quota, now, some.min(1));
        }
        opening.join().unwrap()
    });
    assert!(!first.alone.load(Ordering::Acquire), "it made room");
    held.settle().unwrap();
    assert!(!held.alone.load(Ordering::Acquire), "the first still counts");
    let before = first.usage(&id, &quota, period::day(now), period::day(now)).unwrap()[0].used + 10;
    let total = AtomicU64::new(before);
    std::thread::scope(|scope| {
        for ledger in [&first, &held, &first, &held] {
            let (total, id, quota) = (&total, &id, &quota);
            scope.spawn(move || total.fetch_add(spend(ledger, id, quota, now, 200), Ordering::Relaxed));
        }
    });
    let so_far = total.into_inner();
    drop(first);
    held.settle().unwrap();
    assert!(held.alone.load(Ordering::Acquire), "it is the only one now");
    assert_eq!(spend(&held, &id, &quota, now, 2000), 1000 - so_far, "what the other counted is known");
    assert_eq!(spend(&held, &id, &quota, ms("2026-11-30"), 2000), 1000);
    drop(held);
    let last = Ledger::open(dir.path()).unwrap();
    let days: Vec<u64> = ["2026-11-25", "2026-11-26", "2026-11-30"]
        .map(|date| {
            last.usage(&id, &quota, period::parse(date).unwrap(), period::parse(date).unwrap()).unwrap()[0].used
        })
        .to_vec();
    assert_eq!(days, [10, 990, 1000], "and all of it is in the file");
}

#[test]
fn a_key_that_nobody_used_for_long_is_looked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.settle().unwrap();
    let (early, late) = (ms("2026-01-01"), ms("2026-03-01"));
    let quota = quota(5, Period::Day);
    assert_eq!(spend(&ledger, &id("p", "a", 0), &quota, early, 9), 5);
    // Its slot was given to another key meanwhile.
    let slot = ledger.slot(&id("p", "a", 0), period::day(early)).unwrap();
    let head = Head { id: id("p", "b", 0), first: period::day(late) }.encode();
    let other: Vec<u8> = head.into_iter().chain([0; SLOT]).take(SLOT).collect();
    ledger.file.write_all_at(&other, offset(slot)).unwrap();
    assert_eq!(spend(&ledger, &id("p", "a", 0), &quota, late, 9), 5);
    assert_ne!(ledger.slot(&id("p", "a", 0), period::day(late)).unwrap(), slot);
}
