//! Health checks against scripted origins.

use super::*;
use crate::config::compiled::{Health, StatusRange};
use crate::origin::{Names, Origins, Pick};
use pingora::connectors::http::Connector;

fn health() -> Health {
    Health {
        path: "/healthy".into(),
        host: None,
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(2),
        statuses: vec![StatusRange { from: 200, to: 299 }],
        rise: 2,
        fall: 2,
    }
}

#[tokio::test]
async fn a_target_goes_down_and_comes_up() {
    let (a, b) = (Scripted::start().await, Scripted::start().await);
    let targets = vec![target("127.0.0.1", a.address.port()), target("127.0.0.1", b.address.port())];
    let config = [origin("o", HttpOrigin { health: Some(health()), ..http(targets) })];
    let names = Arc::new(Names::default());
    let origins = Origins::new(&config, &no_endpoints, None, &names).unwrap();
    origins.start(&Arc::new(Connector::new(None)));

    a.status.store(500, Ordering::SeqCst);
    until(|| !origins.status()[0].up).await;
    assert!(origins.status()[0].last_error.as_ref().is_some_and(|error| error.contains("500")));
    assert!(origins.status()[1].up);
    for _ in 0..4 {
        assert_eq!(origins.pick(0, &Pick::default()).await.unwrap().target.index, 1);
    }

    // When all are down, all are asked.
    b.status.store(500, Ordering::SeqCst);
    until(|| !origins.status()[1].up).await;
    let mut seen = [false; 2];
    for _ in 0..4 {
        seen[origins.pick(0, &Pick::default()).await.unwrap().target.index] = true;
    }
    assert_eq!(seen, [true, true]);

    // A reload keeps it; without the rule it does not count.
    assert!(!Origins::new(&config, &no_endpoints, Some(&origins), &names).unwrap().status()[0].up);

    a.status.store(204, Ordering::SeqCst);
    until(|| origins.status()[0].up).await;
    assert_eq!(origins.pick(0, &Pick::default()).await.unwrap().target.index, 0);
}

#[tokio::test]
async fn a_dead_port_is_down_and_checks_end_with_the_set() {
    let alive = Scripted::start().await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = dead.local_addr().unwrap().port();
    drop(dead);
    let targets = vec![target("127.0.0.1", port), target("127.0.0.1", alive.address.port())];
    let config = [origin("o", HttpOrigin { health: Some(health()), ..http(targets) })];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
    origins.start(&Arc::new(Connector::new(None)));
    until(|| !origins.status()[0].up).await;
    until(|| alive.asked.load(Ordering::SeqCst) > 0).await;
    drop(origins);
    // One check may be on its way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = alive.asked.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(alive.asked.load(Ordering::SeqCst), asked);
}
