//! Disk: what a restart leaves.
//!
//! In: a filled disk tier and a process that ends, politely or not. Out: hits without the origin. Never: a damaged byte.

use crate::harness::{Origin, Pop, until};
use std::path::{Path, PathBuf};

fn start(origin: &Origin, size: &str) -> Pop {
    Pop::start(format!(
        "[cache]\nmemory = \"16MiB\"\ndisk = {{ path = \"{{dir}}/cache\", size = \"{size}\" }}\n{}\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\n",
        origin.config("o")
    ))
}

fn body(path: &str, size: usize) -> Vec<u8> {
    path.bytes().cycle().take(size).collect()
}

fn by_path(size: usize) -> Origin {
    Origin::start(move |x| {
        let body = body(&x.request.target, size);
        x.reply("200 OK", "Cache-Control: max-age=600\r\nX-Own: kept\r\nETag: \"e\"\r\n", body);
    })
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path => found.push(path),
            }
        }
    }
    found
}

#[test]
fn objects_survive_a_restart() {
    let origin = by_path(5_000);
    let mut pop = start(&origin, "64MiB");
    let paths: Vec<String> = (0..50).map(|n| format!("/o/{n}")).collect();
    for path in &paths {
        pop.get(path);
    }
    pop.restart();
    for path in &paths {
        let reply = pop.get(path);
        assert!(reply.hit(), "{path}: {:?}", reply.cache());
        assert_eq!(reply.body, body(path, 5_000), "{path}");
        assert_eq!(reply.field("x-own"), Some("kept"));
        assert!(reply.age().is_some());
    }
    assert_eq!(origin.count(), paths.len());
}

#[test]
fn a_crash_costs_at_most_what_was_being_written() {
    let origin = by_path(5_000);
    let mut pop = start(&origin, "64MiB");
    for n in 0..50 {
        pop.get(&format!("/o/{n}"));
    }
    pop.crash_and_restart();
    for n in 0..50 {
        let path = format!("/o/{n}");
        assert_eq!(pop.get(&path).body, body(&path, 5_000), "a hit or a miss, never a wrong byte");
    }
}

/// The file of invalidated URLs has as many records, or more.
fn noted(pop: &Pop, records: u64) {
    let path = pop.dir().join("cache/invalidated");
    until("what was invalidated to be written", || {
        (std::fs::metadata(&path).ok()?.len() >= 8 + 28 * records).then_some(())
    });
}

#[test]
fn what_an_unsafe_request_changed_is_not_served_after_a_crash() {
    let origin = Origin::counting("Cache-Control: max-age=600\r\n");
    let mut pop = Pop::start(format!(
        "[cache]\nmemory = \"16MiB\"\ndisk = {{ path = \"{{dir}}/cache\", size = \"64MiB\" }}\n{}\
         [[behavior]]\nmatch = \"/any/*\"\norigin = \"o\"\nmethods = \"all\"\ncache = {{ key.ignore_host = true }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n",
        origin.config("o")
    ));
    let ask = |pop: &Pop, path: &str| pop.get(path).text();
    let changed = ["/changed", "/any/changed"];
    let old: Vec<String> = changed.iter().map(|path| ask(&pop, path)).collect();
    let kept = ask(&pop, "/kept");
    // On disk, so that a crash leaves them there.
    pop.restart();
    for (path, old) in changed.iter().zip(&old) {
        assert_eq!(&ask(&pop, path), old, "the disk has it");
        assert_eq!(pop.send("POST", path, &[], b"x").status, 200);
    }
    noted(&pop, 2);
    pop.crash_and_restart();
    for (path, old) in changed.iter().zip(&old) {
        assert_ne!(&ask(&pop, path), old, "{path}: RFC 9111 §4.4");
    }
    assert_eq!(ask(&pop, "/kept"), kept);
    // What was fetched since is kept, also by the next process.
    let new: Vec<String> = changed.iter().map(|path| ask(&pop, path)).collect();
    pop.restart();
    for (path, new) in changed.iter().zip(&new) {
        assert_eq!(&ask(&pop, path), new, "{path}");
    }
    // Nobody knows what a damaged list said: then nothing of the disk is served.
    std::fs::write(pop.dir().join("cache/invalidated"), "?").unwrap();
    pop.restart();
    assert_ne!(ask(&pop, "/kept"), kept);
}

#[test]
fn damaged_blocks_are_misses() {
    let origin = by_path(20_000);
    let mut pop = start(&origin, "64MiB");
    for n in 0..20 {
        pop.get(&format!("/o/{n}"));
    }
    pop.signal("TERM");
    pop.wait();
    let mut harmed = 0;
    for path in files(&pop.dir().join("cache")) {
        let mut bytes = std::fs::read(&path).unwrap();
        for at in (64..bytes.len()).step_by(1_000) {
            bytes[at] ^= 0x55;
            harmed += 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(harmed > 0, "the cache keeps something in its directory");
    pop.start_again();
    for n in 0..20 {
        let path = format!("/o/{n}");
        let reply = pop.get(&path);
        assert_eq!((reply.status, reply.body == body(&path, 20_000)), (200, true), "{path}");
    }
}

#[test]
fn the_disk_tier_stays_within_its_size() {
    let origin = by_path(100_000);
    let pop = start(&origin, "16MiB");
    for n in 0..400 {
        assert_eq!(pop.get(&format!("/o/{n}")).body.len(), 100_000);
    }
    until("the tier to be within its bound", || {
        let used: u64 =
            files(&pop.dir().join("cache")).iter().filter_map(|path| path.metadata().ok()).map(|m| allocated(&m)).sum();
        (used <= 20 << 20).then_some(())
    });
}

fn allocated(meta: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    meta.blocks() * 512
}

#[test]
fn an_object_larger_than_memory_is_served_from_disk() {
    const SIZE: usize = 30 << 20;
    let origin = by_path(SIZE);
    // One body takes an eighth of a tier at most: 32 MiB of this one, 2 MiB of memory.
    let pop = start(&origin, "256MiB");
    let first = pop.get("/big");
    assert!(first.body == body("/big", SIZE));
    assert!(first.cache().iter().any(|part| part == "stored"), "{:?}", first.cache());
    let again = until("a hit", || Some(pop.get("/big")).filter(crate::harness::Reply::hit));
    assert!(again.body == body("/big", SIZE));
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_object_larger_than_any_tier_takes_passes_and_is_not_said_to_be_stored() {
    const SIZE: usize = 3 << 20;
    let origin = by_path(SIZE);
    let pop = start(&origin, "16MiB");
    for n in 1..=3 {
        let reply = pop.get("/big");
        assert!(reply.body == body("/big", SIZE));
        let words = reply.cache();
        assert_eq!(reply.param("detail").as_deref(), Some("too-large"), "{words:?}");
        assert!(!words.iter().any(|part| part == "stored"), "{words:?}");
        assert_eq!(origin.count(), n);
    }
}
