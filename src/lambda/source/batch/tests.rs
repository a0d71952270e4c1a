//! Courses of calls: what is called, told, done with, for functions that fail in every way.

use super::*;

const USUAL: Rules =
    Rules { batch: 100, window_ms: 0, bisect: false, report: false, retries: None, age_ms: None, parallel: 1 };
const NOW: u64 = 1_000_000_000;

fn record(n: usize) -> Record {
    Record { sequence: format!("{}", 100 + n), arrived_ms: NOW, text: "12345".to_owned(), item: 0 }
}

fn names(records: &[Record]) -> String {
    let all: Vec<_> = records.iter().map(|one| (one.sequence.parse::<usize>().unwrap() - 100).to_string()).collect();
    all.join(",")
}

/// Runs `count` records through a function; the course as "call -> result", and the waits.
fn course(rules: Rules, count: usize, mut function: impl FnMut(&str) -> Outcome) -> (Vec<String>, Vec<u64>) {
    let mut reader = Reader::new(rules, 1 << 20, None);
    reader.take((0..count).map(record).collect(), Some((100 + count - 1).to_string()), NOW);
    let (mut said, mut waits, mut now, mut settled) = (Vec::new(), Vec::new(), NOW, 0);
    for _ in 0..5000 {
        let outcome = match reader.next(now, false) {
            Act::Read(_) => {
                assert_eq!(reader.done(), Some((100 + count - 1).to_string().as_str()), "all is done with");
                return (said, waits);
            }
            Act::Wait(until) => {
                waits.push(until - now);
                now = until;
                continue;
            }
            Act::Call(records) => {
                let named = names(records);
                let outcome = function(&named);
                said.push(format!("{named} {outcome:?}"));
                Some(outcome)
            }
            Act::GiveUp(records, why) => {
                said.push(format!("{} {}", names(records), why.as_str()));
                None
            }
        };
        match outcome {
            Some(outcome) => reader.settle(outcome, now),
            None => reader.gave_up(),
        }
        // What is done with is exactly what succeeded or was given up.
        let line = said.last().unwrap().clone();
        let (called, ended) = line.split_once(' ').unwrap();
        let called: Vec<usize> = called.split(',').map(|one| one.parse().unwrap()).collect();
        let finished = match outcome {
            Some(Outcome::Refused) => 0,
            Some(Outcome::Failed(first)) => first,
            Some(Outcome::Succeeded) | None => called.len(),
        };
        assert_eq!(called[0], settled, "in order: {ended}");
        settled += finished;
        assert_eq!(reader.done().map_or(0, |done| done.parse::<usize>().unwrap() - 99), settled);
    }
    panic!("it goes on for ever: {said:?}");
}

fn bad(name: &str) -> impl FnMut(&str) -> Outcome + '_ {
    move |called| if called.split(',').any(|one| one == name) { Outcome::Failed(0) } else { Outcome::Succeeded }
}

#[test]
fn courses() {
    let twice = Rules { retries: Some(2), ..USUAL };
    let halves = Rules { bisect: true, retries: Some(1), ..USUAL };
    let (said, waits) = course(USUAL, 3, |_| Outcome::Succeeded);
    assert_eq!((said, waits), (vec!["0,1,2 Succeeded".to_owned()], vec![]));
    assert_eq!(course(Rules { batch: 2, ..USUAL }, 3, |_| Outcome::Succeeded).0, ["0,1 Succeeded", "2 Succeeded"]);
    let (said, waits) = course(twice, 2, bad("1"));
    assert_eq!(said, ["0,1 Failed(0)", "0,1 Failed(0)", "0,1 Failed(0)", "0,1 RetryAttemptsExhausted"]);
    assert_eq!(waits, [100, 200]);
    // Only the bad one is given up, and to divide takes no try.
    let (said, _) = course(halves, 5, bad("3"));
    assert_eq!(
        said,
        [
            "0,1,2,3,4 Failed(0)",
            "0,1,2 Succeeded",
            "3,4 Failed(0)",
            "3 Failed(0)",
            "3 Failed(0)",
            "3 RetryAttemptsExhausted",
            "4 Succeeded"
        ]
    );
    // A function that says where it stopped.
    let mut calls = 0;
    let (said, _) = course(USUAL, 4, |_| {
        calls += 1;
        if calls == 1 { Outcome::Failed(2) } else { Outcome::Succeeded }
    });
    assert_eq!(said, ["0,1,2,3 Failed(2)", "2,3 Succeeded"]);
    let stops = |called: &str| match called.split(',').position(|one| one == "2") {
        Some(at) => Outcome::Failed(at),
        None => Outcome::Succeeded,
    };
    assert_eq!(
        course(halves, 4, stops).0,
        ["0,1,2,3 Failed(2)", "2,3 Failed(0)", "2 Failed(0)", "2 Failed(0)", "2 RetryAttemptsExhausted", "3 Succeeded"]
    );
    assert_eq!(
        course(Rules { retries: Some(0), ..USUAL }, 4, stops).0,
        ["0,1,2,3 Failed(2)", "2,3 RetryAttemptsExhausted"].map(String::from).to_vec(),
        "the rest goes with it"
    );
    // What does not come to a call takes no try, and waits longer.
    let mut calls = 0;
    let (said, waits) = course(Rules { retries: Some(0), ..USUAL }, 1, |_| {
        calls += 1;
        if calls < 4 { Outcome::Refused } else { Outcome::Succeeded }
    });
    assert_eq!((said.len(), waits), (4, vec![1_000, 2_000, 4_000]));
}

#[test]
fn what_is_too_old_is_given_up() {
    let rules = Rules { age_ms: Some(60_000), ..USUAL };
    let (said, waits) = course(rules, 2, |_| Outcome::Failed(0));
    assert_eq!(said.last().unwrap(), "0,1 RecordAgeExceeded");
    assert!(waits.iter().sum::<u64>() > 60_000 && said.len() > 5);
    let (said, waits) = course(USUAL, 1, |_| Outcome::Refused);
    assert_eq!(said.last().unwrap(), "0 RecordAgeExceeded", "nothing is kept for more than a day");
    assert!(waits.iter().sum::<u64>() > KEPT_MS);
    // Some of them, before the first call.
    let mut reader = Reader::new(rules, 1 << 20, None);
    let old = Record { arrived_ms: NOW - 60_001, ..record(0) };
    reader.take(vec![old.clone(), record(1)], Some("101".into()), NOW);
    assert_eq!(reader.next(NOW, false), Act::GiveUp(&[old], Why::Age));
    assert_eq!(reader.done(), None);
    reader.gave_up();
    assert_eq!(reader.next(NOW, false), Act::Call(&[record(1)]));
    assert_eq!(reader.done(), Some("100"));
}

#[test]
fn batches_wait_and_are_bounded() {
    let rules = Rules { batch: 3, window_ms: 5_000, ..USUAL };
    let mut reader = Reader::new(rules, 1 << 20, Some("99".into()));
    assert_eq!(reader.next(NOW, false), Act::Read(3));
    assert_eq!(reader.done(), Some("99"));
    reader.take(vec![record(0)], Some("100".into()), NOW);
    assert_eq!(reader.next(NOW + 4_999, false), Act::Read(2));
    assert_eq!(reader.done(), Some("99"));
    // Known already: a page that is read again.
    reader.take(vec![record(0), record(1)], Some("101".into()), NOW + 1_000);
    assert_eq!(reader.next(NOW + 4_999, false), Act::Read(1));
    assert_eq!(reader.next(NOW + 4_999, true), Act::Call(&[record(0), record(1)]), "nothing more will come");
    let mut reader = Reader::new(rules, 1 << 20, None);
    reader.take((0..4).map(record).collect(), Some("103".into()), NOW);
    assert_eq!(reader.next(NOW, false), Act::Call(&[record(0), record(1), record(2)]), "full");
    reader.settle(Outcome::Succeeded, NOW);
    assert_eq!(reader.next(NOW, false), Act::Read(2));
    assert_eq!(reader.done(), Some("102"));
    assert_eq!(reader.next(NOW + 5_000, false), Act::Call(&[record(3)]));
    // Bytes bound a call too, and one record is always called.
    let mut reader = Reader::new(USUAL, 13, None);
    reader.take((0..3).map(record).collect(), Some("102".into()), NOW);
    assert_eq!(reader.next(NOW, false), Act::Call(&[record(0), record(1)]));
    let mut reader = Reader::new(USUAL, 1, None);
    reader.take(vec![record(0), record(1)], Some("101".into()), NOW);
    assert_eq!(reader.next(NOW, false), Act::Call(&[record(0)]));
    // Filtered records are passed by.
    let mut reader = Reader::new(USUAL, 1, None);
    reader.take(vec![], Some("150".into()), NOW);
    assert_eq!(reader.next(NOW, false), Act::Read(100));
    assert_eq!((reader.done(), reader.idle()), (Some("150"), true));
    reader.take(vec![], None, NOW);
    assert_eq!(reader.read(), Some("150"));
}

#[test]
fn answers_name_what_failed() {
    let records: Vec<_> = (0..4).map(record).collect();
    use Outcome::{Failed, Succeeded};
    for (payload, failed, report, want) in [
        ("null", true, true, Failed(0)),
        ("{\"batchItemFailures\":[{\"itemIdentifier\":\"102\"}]}", false, false, Succeeded),
        ("{\"batchItemFailures\":[{\"itemIdentifier\":\"102\"}]}", false, true, Failed(2)),
        ("{\"batchItemFailures\":[{\"itemIdentifier\":\"103\"},{\"itemIdentifier\":\"101\"}]}", false, true, Failed(1)),
        ("{\"batchItemFailures\":[]}", false, true, Succeeded),
        ("{\"batchItemFailures\":null}", false, true, Succeeded),
        ("{}", false, true, Succeeded),
        ("null", false, true, Succeeded),
        ("\"fine\"", false, true, Failed(0)),
        ("{\"batchItemFailures\":[{\"itemIdentifier\":\"\"}]}", false, true, Failed(0)),
        ("{\"batchItemFailures\":[{\"itemIdentifier\":null}]}", false, true, Failed(0)),
        ("{\"batchItemFailures\":[{\"id\":\"102\"}]}", false, true, Failed(0)),
        ("{\"batchItemFailures\":[{\"itemIdentifier\":\"7\"}]}", false, true, Failed(0)),
        ("{\"batchItemFailures\":\"102\"}", false, true, Failed(0)),
        ("", false, true, Failed(0)),
    ] {
        assert_eq!(outcome(payload.as_bytes(), failed, report, &records), want, "{payload} {failed} {report}");
    }
}
