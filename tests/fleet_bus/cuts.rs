//! Cuts: leaf nodes and the hub end, hang and come back while nodes publish and listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use rimward::fleet::bus::{Bus, BusError, Delivered, Seq, Topic};
use tempfile::TempDir;

use crate::nats::{Hub, Server};
use crate::relay::Relay;
use crate::{LOOK_AGAIN, PATIENCE, client, fleet, message, next, open, reached, text};

/// Messages before a cut, and all of them.
const BEFORE: usize = 40;
const ALL: usize = 150;
/// Longer than the silence that ends a tail.
const CUT: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    LeafKilled,
    LeafHangs,
    HubKilled,
    HubHangs,
    HubAndLeafKilled,
}

impl Cut {
    fn begin(self, hub: &mut Server, leaf: &mut Server) {
        match self {
            Cut::LeafKilled => leaf.kill(),
            Cut::LeafHangs => leaf.pause(),
            Cut::HubKilled => hub.kill(),
            Cut::HubHangs => hub.pause(),
            Cut::HubAndLeafKilled => {
                hub.kill();
                leaf.kill();
            }
        }
    }

    fn end(self, hub: &mut Server, leaf: &mut Server) {
        match self {
            Cut::LeafKilled => leaf.restart(),
            Cut::LeafHangs => leaf.resume(),
            Cut::HubKilled => hub.restart(),
            Cut::HubHangs => hub.resume(),
            Cut::HubAndLeafKilled => {
                leaf.restart();
                hub.restart();
            }
        }
    }
}

/// Publishes everything, each until it is kept, as a node with an outbox does.
async fn publish(bus: Arc<dyn Bus>, sent: Arc<AtomicUsize>) {
    for i in 0..ALL {
        loop {
            match bus.publish(Topic::Purges, message("fra", i, i)).await {
                Ok(_) => break,
                Err(BusError::Away(_)) => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) => panic!("{error}"),
            }
        }
        sent.store(i + 1, Ordering::Release);
        tokio::time::sleep(LOOK_AGAIN / 4).await;
    }
}

/// Everything that is published, as a node hears it that tails again from its position when a tail ends.
async fn listen(bus: Arc<dyn Bus>) -> (Vec<String>, usize) {
    let (mut heard, mut position, mut ends) = (Vec::new(), Seq(0), 0);
    while heard.len() < ALL {
        let Ok(mut tail) = bus.tail(Topic::Purges, position).await else {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        };
        while heard.len() < ALL {
            match tail.next().await {
                Some(Ok(Delivered::Message { seq, message })) => {
                    position = seq;
                    heard.push(String::from_utf8(message.body.to_vec()).unwrap());
                }
                Some(Ok(Delivered::Lost { up_to })) => panic!("lost up to {up_to:?}"),
                Some(Err(BusError::Away(_))) => {
                    ends += 1;
                    break;
                }
                Some(Err(error)) => panic!("{error}"),
                None => panic!("a tail ended without a word"),
            }
        }
    }
    (heard, ends)
}

/// What is published through a leaf that is cut off is heard once and in order, there and elsewhere.
async fn survives(cut: Cut) {
    let mut hub = Hub::start();
    let (mut fra, nrt) = (hub.leaf("fra"), hub.leaf("nrt"));
    let dir = TempDir::new().unwrap();
    let here = open(&fleet(Some(fra.url())), dir.path()).await;
    let there = open(&fleet(Some(nrt.url())), dir.path()).await;
    reached(&here).await;
    reached(&there).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let publishing = tokio::spawn(publish(here.clone(), sent.clone()));
    let (listening, listening_there) = (tokio::spawn(listen(here.clone())), tokio::spawn(listen(there)));
    while sent.load(Ordering::Acquire) < BEFORE {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    cut.begin(&mut hub.server, &mut fra);
    tokio::time::sleep(CUT).await;
    assert!(sent.load(Ordering::Acquire) < ALL, "{cut:?}: nothing was cut");
    let away = here.head(Topic::Purges).await.unwrap_err();
    assert!(matches!(away, BusError::Away(_)), "{cut:?} {away}");
    cut.end(&mut hub.server, &mut fra);
    let done = tokio::time::timeout(PATIENCE, async { tokio::join!(publishing, listening, listening_there) });
    let (published, heard, heard_there) = done.await.expect("all is heard");
    published.unwrap();
    let expected: Vec<String> = (0..ALL).map(|i| i.to_string()).collect();
    let (heard, ends) = heard.unwrap();
    assert_eq!(heard, expected, "{cut:?}");
    assert!(ends > 0, "{cut:?}: the tail must say that it was cut off");
    assert_eq!(heard_there.unwrap().0, expected, "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_is_killed() {
    survives(Cut::LeafKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_hangs() {
    survives(Cut::LeafHangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_killed() {
    survives(Cut::HubKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_hangs() {
    survives(Cut::HubHangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_at_once() {
    survives(Cut::HubAndLeafKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_opens_before_its_servers() {
    let hub = Hub::start();
    let mut leaf = hub.leaf("fra");
    leaf.kill();
    let dir = TempDir::new().unwrap();
    let bus = open(&fleet(Some(leaf.url())), dir.path()).await;
    for error in [
        bus.head(Topic::Purges).await.unwrap_err(),
        bus.publish(Topic::Purges, message("p", 1, 1)).await.unwrap_err(),
        bus.tail(Topic::Purges, Seq(0)).await.map(drop).unwrap_err(),
        bus.put_blob("a".into()).await.unwrap_err(),
    ] {
        assert!(matches!(error, BusError::Away(_)), "{error}");
    }
    leaf.restart();
    reached(&bus).await;
    bus.publish(Topic::Purges, message("p", 1, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_topic_is_no_silent_hub() {
    let hub = Hub::start();
    let leaf = hub.leaf("fra");
    let dir = TempDir::new().unwrap();
    let mut config = fleet(Some(leaf.url()));
    config.silence = Duration::from_millis(500);
    let bus = open(&config, dir.path()).await;
    reached(&bus).await;
    let mut tail = bus.tail(Topic::Purges, Seq(0)).await.unwrap();
    let quiet = tokio::time::timeout(config.silence * 6, next(&mut tail)).await;
    assert!(quiet.is_err(), "nothing is said: {quiet:?}");
    let seq = bus.publish(Topic::Purges, message("p", 1, 1)).await.unwrap();
    assert_eq!(next(&mut tail).await, Delivered::Message { seq, message: message("p", 1, 1) });
    hub.server.pause();
    let ended = tokio::time::timeout(PATIENCE, tail.next()).await.expect("the tail ends");
    assert!(matches!(ended, Some(Err(BusError::Away(_)))), "{ended:?}");
    hub.server.resume();
}

/// The last message before a cut that heals before anyone is missed: nothing comes after it that would show the gap.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_on_the_way_is_asked_for_again() {
    let hub = Hub::start();
    let relay = Relay::to(hub.leaves);
    let leaf = Hub::leaf_to(relay.port, "fra");
    let dir = TempDir::new().unwrap();
    let mut config = fleet(Some(leaf.url()));
    // Longer than the leaf is away.
    config.silence = Duration::from_secs(20);
    let here = open(&config, dir.path()).await;
    let there = open(&fleet(Some(hub.url())), dir.path()).await;
    reached(&here).await;
    reached(&there).await;
    let listening = tokio::spawn(async move {
        let (mut heard, mut position) = (Vec::new(), Seq(0));
        while heard.len() < 3 {
            let Ok(mut tail) = here.tail(Topic::Purges, position).await else { continue };
            while let Some(Ok(Delivered::Message { seq, message })) = tail.next().await {
                position = seq;
                heard.push(message.id);
                if heard.len() == 3 {
                    break;
                }
            }
        }
        heard
    });
    there.publish(Topic::Purges, message("p", 1, 1)).await.unwrap();
    tokio::time::sleep(LOOK_AGAIN * 10).await;
    relay.lose();
    there.publish(Topic::Purges, message("p", 2, 2)).await.unwrap();
    there.publish(Topic::Purges, message("p", 3, 3)).await.unwrap();
    tokio::time::sleep(LOOK_AGAIN * 10).await;
    relay.cut();
    relay.mend();
    let heard = tokio::time::timeout(PATIENCE, listening).await.expect("all is heard").unwrap();
    assert_eq!(heard, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_lost_its_disk_is_made_anew() {
    let mut hub = Hub::start();
    let leaf = hub.leaf("fra");
    let dir = TempDir::new().unwrap();
    let bus = open(&fleet(Some(leaf.url())), dir.path()).await;
    reached(&bus).await;
    let mut position = Seq(0);
    for i in 1..=3 {
        position = bus.publish(Topic::Purges, message("p", i, i)).await.unwrap();
    }
    hub.server.kill();
    std::fs::remove_dir_all(hub.server.store()).unwrap();
    hub.server.restart();
    reached(&bus).await;
    assert_eq!(bus.head(Topic::Purges).await.unwrap(), Seq(0));
    // The new log is longer than what was heard of the old one: no position of it is mistaken for one of these.
    for i in 4..=9 {
        assert!(bus.publish(Topic::Purges, message("p", i, i)).await.unwrap() > position);
    }
    let mut tail = bus.tail(Topic::Purges, position).await.unwrap();
    assert!(matches!(next(&mut tail).await, Delivered::Lost { up_to } if up_to > position));
    for i in 4..=9 {
        assert!(matches!(next(&mut tail).await, Delivered::Message { message, .. } if text(&message) == i.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_hub_says_so_and_goes_on_once_there_is_room() {
    let hub = Hub::with_disk(4 << 20);
    let dir = TempDir::new().unwrap();
    let bus = open(&fleet(Some(hub.url())), dir.path()).await;
    reached(&bus).await;
    let blob = bus.put_blob(vec![7; 2 << 20].into()).await.unwrap();
    // What was sent of a blob that has no room is gone again: it would fill the hub the more often it is tried.
    let js = async_nats::jetstream::new(client(&hub).await);
    let stored = async || js.get_stream("OBJ_BLOBS").await.unwrap().cached_info().state.messages;
    let before = stored().await;
    for _ in 0..5 {
        let full = bus.put_blob(vec![8; 3 << 20].into()).await.unwrap_err();
        assert!(matches!(full, BusError::Disk { .. }), "{full}");
        assert_eq!(stored().await, before);
    }
    let mut kept = Vec::new();
    let full = loop {
        let body = format!("{} {}", kept.len(), "x".repeat(200_000));
        match bus.publish(Topic::Purges, message("p", kept.len(), body)).await {
            Ok(seq) => kept.push(seq),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, BusError::Disk { .. }), "{full}");
    assert!(kept.len() > 3, "{}", kept.len());
    assert!(bus.forget_blob(blob, Duration::ZERO).await.unwrap());
    // The server counts what is free a little later.
    let again = async {
        while bus.publish(Topic::Purges, message("p", kept.len(), "last")).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("there is room");
    let mut tail = bus.tail(Topic::Purges, Seq(0)).await.unwrap();
    for seq in kept {
        assert!(matches!(next(&mut tail).await, Delivered::Message { seq: at, .. } if at == seq));
    }
    assert!(matches!(next(&mut tail).await, Delivered::Message { message, .. } if text(&message) == "last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_behind_tls_is_one_that_shows_the_right_certificate() {
    // As the program itself does first of all.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = TempDir::new().unwrap();
    let made = [0, 1].map(|i| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = (dir.path().join(format!("{i}.pem")), dir.path().join(format!("{i}.key")));
        std::fs::write(&files.0, made.cert.pem()).unwrap();
        std::fs::write(&files.1, made.signing_key.serialize_pem()).unwrap();
        files
    });
    let hub = Hub::with_tls(&made[0].0, &made[0].1);
    let url = hub.url().replace("nats://127.0.0.1", "tls://localhost");
    let mut config = fleet(Some(url));
    for (authority, reachable) in [(&made[0].0, true), (&made[1].0, false)] {
        config.bus.as_mut().unwrap().ca = Some(authority.clone());
        let bus = open(&config, dir.path()).await;
        if reachable {
            reached(&bus).await;
            bus.publish(Topic::Purges, message("p", 1, 1)).await.unwrap();
        }
        assert_eq!(bus.head(Topic::Purges).await.is_ok(), reachable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_password_is_not_let_in() {
    let hub = Hub::start();
    let dir = TempDir::new().unwrap();
    let mut config = fleet(Some(hub.url()));
    config.bus.as_mut().unwrap().user = Some(("pop".into(), rimward::config::secret::Secret::new("guess".into())));
    let bus = open(&config, dir.path()).await;
    let error = bus.publish(Topic::Purges, message("p", 1, 1)).await.unwrap_err();
    assert!(matches!(error, BusError::Away(_)), "{error}");
}
