//! Bodies: big ones pass through without being held.
//!
//! In: a gigabyte in either direction. Out: the same gigabyte; a process that stays small. Never: a whole body in memory.

use crate::harness::raw::request;
use crate::harness::{Origin, Pop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const GIB: u64 = 1 << 30;
const RUN: usize = 1 << 18;

/// What the process may have resident at most: its tiers' default, its buffers, an unoptimised binary.
const RSS_BOUND_KIB: u64 = 400 * 1024;

/// A run whose content depends on where it lies, so that a lost or doubled run shows.
fn run(at: u64) -> Vec<u8> {
    let mark = (at / RUN as u64) as u8;
    vec![mark; RUN]
}

/// Checks a body that consists of [`run`]s, however it arrives.
struct Checker {
    at: u64,
    wrong: u64,
}

// === impl Checker ===
impl Checker {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = (self.at % RUN as u64) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(RUN - within));
            let mark = (self.at / RUN as u64) as u8;
            self.wrong += u64::from(now.iter().any(|byte| *byte != mark));
            self.at += now.len() as u64;
            bytes = later;
        }
    }
}

#[test]
fn a_gigabyte_passes_with_bounded_memory() {
    for fields in ["Cache-Control: no-store\r\n", "Cache-Control: max-age=60\r\n"] {
        let origin = Origin::start(move |x| {
            x.head("200 OK", &format!("{fields}Content-Length: {GIB}\r\n"));
            let mut at = 0;
            while at < GIB && x.write(run(at)) {
                at += RUN as u64;
            }
        });
        let pop = Pop::caching(&origin, "cache = { max_object = \"64MiB\" }");
        let mut viewer = pop.raw();
        viewer.send(request("GET", "/huge", &[], b""));
        let head = viewer.head().unwrap();
        assert_eq!(head.status, 200);
        let mut checker = Checker { at: 0, wrong: 0 };
        match head.field("content-length") {
            Some(_) => viewer.drain(GIB, |bytes| checker.take(bytes)),
            None => {
                while let Some(chunk) = viewer.chunk().unwrap() {
                    checker.take(&chunk);
                }
            }
        }
        assert_eq!((checker.at, checker.wrong), (GIB, 0), "{fields:?}");
        let peak = pop.peak_rss_kib();
        assert!(peak < RSS_BOUND_KIB, "{fields:?}: {peak} KiB resident at the peak");
    }
}

#[test]
fn a_large_upload_passes_with_bounded_memory() {
    const SIZE: u64 = 256 << 20;
    let received = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&received);
    let origin = Origin::unread(move |x| {
        let mut got = 0;
        while got < SIZE {
            match x.read() {
                Some(bytes) => got += bytes.len() as u64,
                None => break,
            }
        }
        count.store(got, Ordering::Release);
        x.reply("200 OK", "Cache-Control: no-store\r\n", "stored");
        x.close();
    });
    let pop = Pop::start(format!(
        "[limits]\nbody_size = \"1GiB\"\n{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n",
        origin.config("o")
    ));
    let mut viewer = pop.raw();
    viewer.send(format!("PUT /up HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {SIZE}\r\n\r\n"));
    for n in 0..SIZE / RUN as u64 {
        viewer.send(run(n * RUN as u64));
    }
    assert_eq!(viewer.reply("PUT").text(), "stored");
    assert_eq!(received.load(Ordering::Acquire), SIZE);
    let peak = pop.peak_rss_kib();
    assert!(peak < RSS_BOUND_KIB, "{peak} KiB resident at the peak");
}

#[test]
fn an_object_beyond_the_limit_is_served_and_not_kept() {
    let origin = Origin::start(|x| x.reply("200 OK", "Cache-Control: max-age=60\r\n", vec![b'x'; 100_000]));
    let pop = Pop::caching(&origin, "cache = { max_object = \"50KiB\" }");
    for n in 1..=2 {
        assert_eq!(pop.get("/a").body.len(), 100_000);
        assert_eq!(origin.count(), n);
    }
    let chunked = Origin::start(|x| {
        x.head("200 OK", "Cache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n");
        for _ in 0..10 {
            x.chunk([b'x'; 10_000]);
        }
        x.last_chunk("");
    });
    let pop = Pop::caching(&chunked, "cache = { max_object = \"50KiB\" }");
    for n in 1..=2 {
        assert_eq!(pop.get("/a").body.len(), 100_000, "whole, though it turned out too large on the way");
        assert_eq!(chunked.count(), n);
    }
}
