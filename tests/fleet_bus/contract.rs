//! Contract: what whoever uses a bus relies on.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use rimward::fleet::bus::{BODY_MAX, BusError, Delivered, Digest, Seq, Topic};
use std::time::Duration;

use crate::{KINDS, Kind, LOOK_AGAIN, PATIENCE, Place, message, next, open};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn every_topic_is_one_order_from_any_position_on() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        for topic in Topic::ALL {
            assert_eq!(place.bus.head(topic).await.unwrap(), Seq(0), "{kind:?} {topic:?}");
            let mut live = place.tail(topic, 0).await;
            for i in 1..=5 {
                let seq = place.publish(topic, message(&format!("s.{i}"), i, i)).await;
                assert_eq!(seq, i, "{kind:?} {topic:?}");
            }
            let five: Vec<_> = (1..=5).map(|i| (i, i.to_string())).collect();
            for one in &five {
                assert_eq!(place.said(topic, &mut live).await, *one, "{kind:?} {topic:?}");
            }
            assert_eq!(place.all(topic, 0).await, five, "{kind:?} {topic:?}");
            assert_eq!(place.all(topic, 3).await, five[3..], "{kind:?} {topic:?}");
            // Tails that wait are woken.
            let mut last = place.tail(topic, 5).await;
            let (a, b, sent) = tokio::join!(place.said(topic, &mut live), place.said(topic, &mut last), async {
                tokio::time::sleep(LOOK_AGAIN).await;
                place.bus.publish(topic, message("s.6", 6, 6)).await.unwrap()
            });
            assert_eq!((a, b), ((6, "6".into()), (6, "6".into())), "{kind:?} {topic:?}");
            assert_eq!(place.bus.head(topic).await.unwrap(), sent, "{kind:?} {topic:?}");
            let mut whole = place.tail(topic, 5).await;
            let expected = Delivered::Message { seq: sent, message: message("s.6", 6, 6) };
            assert_eq!(next(&mut whole).await, expected, "{kind:?} {topic:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_see_what_many_publish_at_once_in_the_same_order() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        assert_eq!(place.publish(Topic::Purges, message("p", "first", "first")).await, 1, "{kind:?}");
        let publish = (0..300).map(|i| place.publish(Topic::Purges, message("p", i, i)));
        let mut given = join_all(publish).await;
        let all_of_them = place.all(Topic::Purges, 1).await;
        for (seq, body) in &all_of_them {
            assert_eq!(given[body.parse::<usize>().unwrap()], *seq, "{kind:?}");
        }
        given.sort_unstable();
        assert_eq!(given, (2..=301).collect::<Vec<_>>(), "{kind:?}");
        let place = place.again().await;
        assert_eq!(place.all(Topic::Purges, 1).await, all_of_them, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_state_keep_the_newest_of_each_subject() {
    for kind in KINDS {
        let mut place = Place::new(kind).await;
        for topic in [Topic::Data, Topic::Usage, Topic::Acks] {
            for (id, subject) in ["kv.a", "kv.b", "kv.a", "kv.c", "kv.b"].into_iter().enumerate() {
                place.publish(topic, message(subject, id, format!("{subject}{id}"))).await;
            }
        }
        for reopened in [false, true] {
            for topic in [Topic::Data, Topic::Usage, Topic::Acks] {
                let kept = [(3, "kv.a2".into()), (4, "kv.c3".into()), (5, "kv.b4".into())];
                assert_eq!(place.all(topic, 0).await, kept, "{kind:?} {topic:?} {reopened}");
                assert_eq!(place.all(topic, 3).await, kept[1..], "{kind:?} {topic:?} {reopened}");
            }
            place = place.again().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_again_under_its_id_is_there_once() {
    for kind in KINDS {
        let mut place = Place::new(kind).await;
        for reopened in [false, true] {
            for topic in [Topic::Purges, Topic::Revisions, Topic::Data, Topic::Usage, Topic::Acks] {
                for (id, seq) in [("a", 1), ("b", 2), ("a", 1), ("b", 2)] {
                    let published = place.publish(topic, message(id, id, id)).await;
                    assert_eq!(published, seq, "{kind:?} {topic:?} {id} {reopened}");
                }
                let kept = [(1, "a".into()), (2, "b".into())];
                assert_eq!(place.all(topic, 0).await, kept, "{kind:?} {topic:?} {reopened}");
            }
            place = place.again().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_revisions_are_kept() {
    for kind in KINDS {
        let place = Place::with(kind, |config| config.revisions = 3).await;
        for i in 1..=7 {
            place.publish(Topic::Revisions, message("r", i, i)).await;
        }
        let kept = [(5, "5".into()), (6, "6".into()), (7, "7".into())];
        assert_eq!(place.all(Topic::Revisions, 0).await, kept, "{kind:?}");
        // The configuration says otherwise at the next start.
        let mut place = place;
        place.config.revisions = 2;
        let place = place.again().await;
        place.publish(Topic::Revisions, message("r", 8, 8)).await;
        let kept = [(7, "7".into()), (8, "8".into())];
        assert_eq!(place.all(Topic::Revisions, 0).await, kept, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purges_that_are_no_longer_kept_are_told_of() {
    for kind in KINDS {
        let place = Place::with(kind, |config| config.purge_retention = Duration::from_millis(200)).await;
        let mut live = place.tail(Topic::Purges, 0).await;
        place.publish(Topic::Purges, message("p", 0, 0)).await;
        assert_eq!(place.said(Topic::Purges, &mut live).await, (1, "0".into()), "{kind:?}");
        drop(live);
        // The hub drops what is old by itself, the log of one machine when something is written.
        let mut count = 0;
        let lost = tokio::time::timeout(PATIENCE, async {
            loop {
                count += 1;
                place.publish(Topic::Purges, message("p", count, count)).await;
                let mut tail = place.tail(Topic::Purges, 0).await;
                if let Delivered::Lost { up_to } = next(&mut tail).await {
                    break up_to;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        let lost = lost.await.expect("the oldest are dropped");
        assert!(lost >= Seq(1), "{kind:?} {lost:?}");
        // Whoever has seen them has lost nothing.
        count += 1;
        let newest = place.publish(Topic::Purges, message("p", count, count)).await;
        let mut tail = place.tail(Topic::Purges, newest - 1).await;
        assert_eq!(place.said(Topic::Purges, &mut tail).await, (newest, count.to_string()), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_a_log_that_is_gone_begins_the_new_one() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        for topic in [Topic::Purges, Topic::Data] {
            place.publish(topic, message("s", 1, "new")).await;
            // Another one gave this.
            let first = place.bus.head(topic).await.unwrap().0;
            for gone in [first + 7, first.saturating_sub(8)] {
                if gone == 0 {
                    continue;
                }
                let mut tail = place.bus.tail(topic, Seq(gone)).await.unwrap();
                if topic == Topic::Purges {
                    assert_eq!(next(&mut tail).await, Delivered::Lost { up_to: Seq(first - 1) }, "{kind:?}");
                }
                assert_eq!(place.said(topic, &mut tail).await, (1, "new".into()), "{kind:?} {topic:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_what_their_name_says() {
    for kind in KINDS {
        let mut place = Place::new(kind).await;
        let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let contents = [Bytes::new(), Bytes::from_static(b"small"), Bytes::from(large)];
        for bytes in &contents {
            for _twice in 0..2 {
                assert_eq!(place.bus.put_blob(bytes.clone()).await.unwrap(), Digest::of(bytes), "{kind:?}");
            }
        }
        place = place.again().await;
        for bytes in &contents {
            let digest = Digest::of(bytes);
            assert!(place.bus.blob(digest).await.unwrap() == *bytes, "{kind:?} {}", bytes.len());
            assert!(!place.bus.forget_blob(digest, HOUR).await.unwrap(), "{kind:?}: it was put a moment ago");
            assert!(place.bus.forget_blob(digest, Duration::ZERO).await.unwrap(), "{kind:?}");
            let gone = place.bus.blob(digest).await.unwrap_err();
            assert!(matches!(gone, BusError::NoBlob(of) if of == digest), "{kind:?} {gone}");
            assert!(place.bus.forget_blob(digest, HOUR).await.unwrap(), "{kind:?}");
            place.bus.put_blob(bytes.clone()).await.unwrap();
            assert!(place.bus.blob(digest).await.unwrap() == *bytes, "{kind:?} {}", bytes.len());
        }
        let never = Digest::of(b"never");
        assert!(place.bus.forget_blob(never, HOUR).await.unwrap(), "{kind:?}");
        assert!(matches!(place.bus.touch_blob(never).await.unwrap_err(), BusError::NoBlob(_)), "{kind:?}");
        let mut all = place.bus.blobs().await.unwrap();
        let mut want: Vec<_> = contents.iter().map(|bytes| Digest::of(bytes)).collect();
        all.sort();
        want.sort();
        assert_eq!(all, want, "{kind:?}");
        assert!(matches!(place.bus.blob(never).await.unwrap_err(), BusError::NoBlob(_)), "{kind:?}");
        let too_large = place.bus.put_blob(Bytes::from(vec![0; (8 << 20) + 1])).await.unwrap_err();
        assert!(matches!(too_large, BusError::Refused(_)), "{kind:?} {too_large}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_was_touched_stays_whoever_forgets_it_meanwhile() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        let bytes = Bytes::from(vec![7; 1 << 20]);
        for round in 0..20 {
            let digest = place.bus.put_blob(bytes.clone()).await.unwrap();
            let (kept, gone) =
                tokio::join!(place.bus.touch_blob(digest), place.bus.forget_blob(digest, Duration::ZERO));
            match (kept, gone.unwrap()) {
                // Touched, and forgotten afterwards; or forgotten first.
                (_, true) => assert!(matches!(place.bus.blob(digest).await.unwrap_err(), BusError::NoBlob(_))),
                (kept, false) => {
                    kept.unwrap();
                    assert!(place.bus.blob(digest).await.unwrap() == bytes, "{kind:?} {round}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_blob_is_never_given() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        let digest = Digest::of(b"good");
        match &place.servers {
            None => {
                place.bus.put_blob(Bytes::from_static(b"good")).await.unwrap();
                std::fs::write(place.blobs().join(digest.to_string()), "evil").unwrap();
            }
            Some((hub, _)) => {
                let js = async_nats::jetstream::new(crate::client(hub).await);
                let store = js.get_object_store("BLOBS").await.unwrap();
                store.put(digest.to_string().as_str(), &mut &b"evil"[..]).await.unwrap();
            }
        }
        let error = place.bus.blob(digest).await.unwrap_err();
        assert!(matches!(error, BusError::Corrupt(of) if of == digest), "{kind:?} {error}");
        place.bus.forget_blob(digest, Duration::ZERO).await.unwrap();
        place.bus.put_blob(Bytes::from_static(b"good")).await.unwrap();
        assert_eq!(place.bus.blob(digest).await.unwrap(), "good", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_bus_takes_is_refused_and_the_rest_goes_on() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        let fits = message("s", "fits", "x".repeat(BODY_MAX));
        let refused = [
            message("s", "large", "x".repeat(BODY_MAX + 1)),
            message("s.*", "star", ""),
            message("s.>", "rest", ""),
            message("", "none", ""),
            message("s", "", ""),
            message("s", "two words", ""),
        ];
        for bad in refused {
            let error = place.bus.publish(Topic::Purges, bad.clone()).await.unwrap_err();
            assert!(matches!(error, BusError::Refused(_)), "{kind:?} {} {error}", bad.id);
        }
        assert_eq!(place.publish(Topic::Purges, fits).await, 1, "{kind:?}");
        assert_eq!(place.all(Topic::Purges, 0).await.len(), 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_closed_lets_the_next_process_have_it() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        place.publish(Topic::Purges, message("p", 1, 1)).await;
        let mut tail = place.tail(Topic::Purges, 1).await;
        // The successor waits for it.
        let (next, ended, ()) = tokio::join!(open(&place.config, place.dir.path()), tail.next(), async {
            tokio::time::sleep(LOOK_AGAIN).await;
            place.bus.close().await;
        });
        assert!(matches!(ended, Some(Err(BusError::Away(_)))), "{kind:?} {ended:?}");
        assert!(tail.next().await.is_none(), "{kind:?}");
        let error = place.bus.publish(Topic::Purges, message("p", 2, 2)).await.unwrap_err();
        assert!(matches!(error, BusError::Away(_)), "{kind:?} {error}");
        crate::reached(&next).await;
        let second = next.publish(Topic::Purges, message("p", 2, 2)).await.unwrap();
        let mut tail = next.tail(Topic::Purges, Seq(0)).await.unwrap();
        for seq in [second.0 - 1, second.0] {
            assert!(
                matches!(crate::next(&mut tail).await, Delivered::Message { seq: at, .. } if at.0 == seq),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_have_the_log_of_one_machine_at_once() {
    let place = Place::new(Kind::Local).await;
    let error = rimward::fleet::open(&place.config, place.dir.path(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, BusError::Disk { .. }), "{error}");
}
