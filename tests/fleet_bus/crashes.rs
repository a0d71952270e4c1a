//! Crashes: the log of one machine when its process is killed, and when its disk is full.
//!
//! This binary runs itself as the process that ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use rimward::fleet::bus::{Bus, BusError, Digest, Seq, Topic};
use tempfile::TempDir;

use crate::{Kind, Place, fleet, message, next, open};

/// Where the process that ends has its bus.
const DIR: &str = "BUS_DIR";
/// What files of a process on a full disk may have, in blocks of 512 bytes.
const FULL: u32 = 4096;
/// Messages said to be on disk before the process is killed.
const ENOUGH: usize = 50;

/// Alone it reads what it published. As the process that others start and end, it publishes for ever, or until the disk is full, and says
/// what it was told is durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_reads_what_it_published() {
    let own = TempDir::new().unwrap();
    let given = std::env::var_os(DIR);
    let bus = open(&fleet(None), given.as_deref().map_or(own.path(), Path::new)).await;
    let most = if given.is_some() { usize::MAX } else { ENOUGH };
    for i in 0..most {
        let body = format!("{i} {}", "x".repeat(5000));
        match bus.publish(Topic::Purges, message("p", i, body)).await {
            Ok(seq) => println!("\nkept {} {i}", seq.0),
            Err(BusError::Disk { .. }) => {
                println!("\nfull {i}");
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    // What is on disk is still given out, and the next attempt fails or holds.
    let read = count(&bus).await;
    println!("\nread {read}");
    if given.is_none() {
        assert_eq!(read, ENOUGH as u64);
        return;
    }
    let blob = Bytes::from(vec![7; 6 << 20]);
    assert!(matches!(bus.put_blob(blob.clone()).await, Err(BusError::Disk { .. })));
    assert!(matches!(bus.blob(Digest::of(&blob)).await, Err(BusError::NoBlob(_))));
    println!("\nover");
}

/// Messages that can be read.
async fn count(bus: &Arc<dyn Bus>) -> u64 {
    let head = bus.head(Topic::Purges).await.unwrap().0;
    let mut tail = bus.tail(Topic::Purges, Seq(0)).await.unwrap();
    for _ in 0..head {
        next(&mut tail).await;
    }
    head
}

fn run(dir: &TempDir, limit: Option<u32>) -> Child {
    let limit = limit.map_or(String::new(), |blocks| format!("trap '' XFSZ; ulimit -f {blocks};"));
    let script = format!("{limit} exec \"$0\" --exact crashes::a_process_reads_what_it_published --nocapture");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(std::env::current_exe().unwrap()).env(DIR, dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The bodies' beginnings, in the log's order.
async fn kept(place: &Place) -> Vec<String> {
    let all = place.all(Topic::Purges, 0).await;
    for (n, (seq, _)) in all.iter().enumerate() {
        assert_eq!(*seq, n as u64 + 1);
    }
    all.into_iter().map(|(_, body)| body.split(' ').next().unwrap().to_owned()).collect()
}

async fn reopened(dir: TempDir) -> Place {
    let config = fleet(None);
    Place::of(open(&config, dir.path()).await, config, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_was_told_is_kept_is_kept() {
    let dir = TempDir::new().unwrap();
    let mut child = run(&dir, None);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told: Vec<String> = lines.filter(|line| line.starts_with("kept ")).take(ENOUGH).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told.len(), ENOUGH);
    std::fs::create_dir_all(dir.path().join("blobs")).unwrap();
    std::fs::write(dir.path().join("blobs/.partial-1"), "half").unwrap();
    let place = reopened(dir).await;
    let kept = kept(&place).await;
    for line in &told {
        let (seq, id) = line["kept ".len()..].split_once(' ').unwrap();
        assert_eq!(kept[seq.parse::<usize>().unwrap() - 1], id);
    }
    // What it sent last may be kept without a word: again, under the same id, it is there once.
    let last = kept.len();
    let again = place.publish(Topic::Purges, message("p", last - 1, "again")).await;
    assert_eq!(again as usize, last);
    assert_eq!(std::fs::read_dir(place.blobs()).unwrap().count(), 0, "what was half written is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_said_to_be_kept() {
    let dir = TempDir::new().unwrap();
    let child = run(&dir, Some(FULL));
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("\nover\n"), "{text}");
    let told = text.lines().filter(|line| line.starts_with("kept ")).count();
    let full: usize = text.lines().find_map(|line| line.strip_prefix("full ")).unwrap().parse().unwrap();
    let read: usize = text.lines().find_map(|line| line.strip_prefix("read ")).unwrap().parse().unwrap();
    assert_eq!(told, full, "{text}");
    assert!(told > 0 && read >= told, "{text}");
    // With room again, it goes on.
    let place = reopened(dir).await;
    let before = kept(&place).await;
    assert!(before.len() >= told);
    let seq = place.publish(Topic::Purges, message("p", full, format!("{full} "))).await;
    let expected: Vec<String> = (0..=full).map(|i| i.to_string()).collect();
    assert_eq!(kept(&place).await, expected);
    assert_eq!(seq as usize, full + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_is_no_log() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("bus.redb"), "not a database at all".repeat(1000)).unwrap();
    let error = rimward::fleet::open(&fleet(None), dir.path(), std::time::Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, BusError::Disk { .. }), "{error}");
    let place = Place::new(Kind::Local).await;
    assert!(place.all(Topic::Purges, 0).await.is_empty());
}
