//! Exact counts of what is admitted, with a clock of the test's.

use super::*;
use crate::dynamo::catalog::Index;

fn table(read: u64, write: u64) -> Table {
    let throughput = Throughput { read: Some(read), write: Some(write) };
    let index = Index {
        name: "g".into(),
        local: false,
        hash: "h".into(),
        range: None,
        throughput: Some(throughput),
        ..Index::default()
    };
    Table { name: "t".into(), hash: "pk".into(), throughput, indexes: vec![index], ..Table::default() }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How many of `tries` are admitted and charged.
fn admitted(meter: &Meter, table: &Table, side: Side, units: f64, indexes: &[&str], now: u64, tries: usize) -> usize {
    let indexes: Vec<(String, f64)> = indexes.iter().map(|name| ((*name).to_owned(), 1.0)).collect();
    let demand = Demand { table: "t".into(), side, units, indexes: indexes.clone() };
    let mut consumed = Consumed::of("t", side, units);
    consumed.global.extend(indexes.into_iter().map(|(name, units)| (name, consumed::Units::of(side, units))));
    (0..tries)
        .filter(|_| {
            let admitted = meter.admit(table, &demand, at(now)).is_ok();
            if admitted {
                meter.charge(table, &consumed, at(now));
            }
            admitted
        })
        .count()
}

#[test]
fn counts_are_exact() {
    let (meter, table) = (Meter::default(), table(2, 1));
    for (name, side, units, now, want) in [
        ("300 s of 1 WCU", Side::Write, 1.0, 0, 300),
        ("reads are apart, and half a unit each", Side::Read, 0.5, 0, 1200),
        ("one a second", Side::Write, 1.0, 5, 5),
        ("two of two units in five seconds", Side::Write, 2.0, 10, 2),
        ("what was left counts", Side::Write, 1.0, 10, 1),
    ] {
        assert_eq!(admitted(&meter, &table, side, units, &[], now, 2000), want, "{name}");
    }
    assert_eq!(meter.drain("t", Side::Write), 310.0);
    assert_eq!(meter.drain("t", Side::Write), 0.0);
    meter.forget("t");
    assert_eq!(admitted(&meter, &table, Side::Write, 1.0, &[], 10, 2000), 300);
}

#[test]
fn an_index_that_is_exhausted_refuses_the_write() {
    let (meter, mut table) = (Meter::default(), table(1, 100));
    table.indexes[0].throughput = Some(Throughput { read: Some(1), write: Some(1) });
    assert_eq!(admitted(&meter, &table, Side::Write, 1.0, &["g"], 0, 1000), 300);
    let demand = Demand { table: "t".into(), side: Side::Write, units: 1.0, indexes: vec![("g".into(), 1.0)] };
    let exhausted = meter.admit(&table, &demand, at(0)).unwrap_err();
    assert_eq!((exhausted.index.as_deref(), exhausted.on_demand), (Some("g"), false));
    assert_eq!(admitted(&meter, &table, Side::Write, 1.0, &[], 0, 1000), 1000, "the table has more");
}

#[test]
fn memory_is_bounded() {
    let meter = Meter::default();
    for number in 0..BUCKETS_MAX as u64 + 100 {
        let table = Table { name: format!("t{number}"), ..table(1, 1) };
        meter.charge(&table, &Consumed::of(&table.name, Side::Write, 1.0), at(number));
    }
    assert_eq!(meter.pools.lock().len(), BUCKETS_MAX);
}
