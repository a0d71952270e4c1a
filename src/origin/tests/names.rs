//! Names against a scripted DNS server.

use super::*;
use crate::origin::{Names, OriginError};
use std::net::IpAddr;

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn one_answer_serves_all_round_robin() {
    let zone = Zone::start(&[ONE, TWO]).await;
    let names = Arc::new(Names::default());
    let name = names.name("name.test", &zone.dns(HOUR)).unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(name.address().await.unwrap());
    }
    assert_eq!(zone.asked.load(Ordering::SeqCst), 1);
    assert_eq!(seen[0], seen[2]);
    assert_ne!(seen[0], seen[1]);
    assert_eq!(name.known().len(), 2);
}

#[tokio::test]
async fn questions_at_once_are_one() {
    let zone = Zone::start(&[ONE]).await;
    let names = Arc::new(Names::default());
    let (a, b) = (names.name("name.test", &zone.dns(HOUR)).unwrap(), names.name("NAME.test", &zone.dns(HOUR)).unwrap());
    let all = futures::future::join_all((0..50).map(|n| if n % 2 == 0 { a.address() } else { b.address() })).await;
    assert!(all.iter().all(|address| address.as_ref().is_ok_and(|address| *address == ONE)));
    assert_eq!(zone.asked.load(Ordering::SeqCst), 1);
    assert_eq!(names.counts().lookups.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_address_is_passed_over() {
    let zone = Zone::start(&[ONE, TWO]).await;
    let names = Arc::new(Names::default());
    let name = names.name("name.test", &zone.dns(HOUR)).unwrap();
    name.failed(IpAddr::V4(ONE));
    for _ in 0..3 {
        assert_eq!(name.address().await.unwrap(), IpAddr::V4(TWO));
    }
    name.failed(IpAddr::V4(TWO));
    assert!(name.address().await.is_ok(), "when all failed, one is tried all the same");
}

#[tokio::test]
async fn an_expired_answer_is_asked_for_again() {
    let zone = Zone::start(&[ONE]).await;
    let names = Arc::new(Names::default());
    let name = names.name("name.test", &zone.dns(Duration::from_millis(1))).unwrap();
    assert_eq!(name.address().await.unwrap(), IpAddr::V4(ONE));
    *zone.answer.lock() = Some(vec![TWO]);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(name.address().await.unwrap(), IpAddr::V4(TWO));
}

#[tokio::test]
async fn the_last_good_answer_outlives_the_resolver() {
    let zone = Zone::start(&[ONE]).await;
    let names = Arc::new(Names::default());
    let name = names.name("name.test", &zone.dns(Duration::from_millis(1))).unwrap();
    assert!(name.address().await.is_ok());
    *zone.answer.lock() = None;
    tokio::time::sleep(Duration::from_millis(5)).await;
    for _ in 0..3 {
        assert_eq!(name.address().await.unwrap(), IpAddr::V4(ONE));
    }
    assert_eq!(names.counts().failures.load(Ordering::SeqCst), 1, "a failed name rests before it is asked for again");
    assert_eq!(names.counts().last_good.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_unknown_name_is_an_error_that_names_it() {
    let zone = Zone::start(&[ONE]).await;
    let names = Arc::new(Names::default());
    let name = names.name("nowhere.test", &zone.dns(HOUR)).unwrap();
    match name.address().await {
        Err(OriginError::Name { host, reason }) => {
            assert_eq!(host, "nowhere.test");
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn literals_and_localhost_need_no_resolver() {
    let dead = Dns { min_ttl: HOUR, max_ttl: HOUR, servers: vec!["127.0.0.1:1".parse().unwrap()] };
    let names = Arc::new(Names::default());
    for (host, want) in [
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("localhost", "127.0.0.1"),
        ("a.LOCALHOST", "127.0.0.1"),
    ] {
        let name = names.name(host, &dead).unwrap();
        for _ in 0..2 {
            assert_eq!(name.address().await.unwrap(), want.parse::<IpAddr>().unwrap(), "{host}");
        }
    }
    assert_eq!(names.counts().lookups.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_is_refreshed_behind_the_requests() {
    let zone = Zone::start(&[ONE]).await;
    let names = Arc::new(Names::default());
    let name = names.name("name.test", &zone.dns(Duration::from_secs(1))).unwrap();
    assert_eq!(name.address().await.unwrap(), IpAddr::V4(ONE));
    *zone.answer.lock() = Some(vec![TWO]);
    tokio::time::sleep(Duration::from_millis(850)).await;
    assert!(name.address().await.is_ok());
    until(|| name.known() == [IpAddr::V4(TWO)]).await;
    assert_eq!(zone.asked.load(Ordering::SeqCst), 2);
}
