//! Compiled functions on disk.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use super::*;

fn files(bench: &Bench) -> Vec<PathBuf> {
    let entries = fs::read_dir(bench.artifacts.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

/// The same directory, another engine.
fn again(bench: &Bench) -> Engine {
    let artifacts = bench.artifacts.path().to_owned();
    Engine::new(&EngineSettings { concurrency: SLOTS, memory: MEMORY, artifacts }).unwrap()
}

#[tokio::test]
async fn a_compiled_function_is_kept_and_found() {
    let bench = Bench::new();
    serves(&good(&bench)).await;
    let [file] = &files(&bench)[..] else { panic!("one file") };
    let written = fs::metadata(file).unwrap().ino();
    let begin = Instant::now();
    let engine = again(&bench);
    let bench = Bench { engine, artifacts: bench.artifacts };
    serves(&good(&bench)).await;
    assert_eq!(fs::metadata(file).unwrap().ino(), written, "loaded, not written again");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[tokio::test]
async fn what_this_engine_did_not_write_is_compiled_again() {
    let bench = Bench::new();
    serves(&good(&bench)).await;
    let [file] = &files(&bench)[..] else { panic!("one file") };
    let whole = fs::read(file).unwrap();
    let mut forged = whole.clone();
    forged[whole.len() / 2] ^= 1;
    let foreign = {
        let other = Bench::new();
        serves(&good(&other)).await;
        fs::read(&files(&other)[0]).unwrap()
    };
    for damaged in [forged, foreign, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        fs::write(file, &damaged).unwrap();
        let bench = Bench { engine: again(&bench), artifacts: tempfile::tempdir().unwrap() };
        serves(&good(&bench)).await;
        assert_ne!(fs::read(file).unwrap(), damaged);
    }
    // A good file under another function's name.
    let mut other = spec("other");
    other.memory = 1 << 20;
    bench.load(Guest::default().module(""), &other);
    let name = files(&bench).into_iter().find(|path| path != file).unwrap();
    let good_one = fs::read(file).unwrap();
    fs::write(&name, &good_one).unwrap();
    again(&bench).load(&Guest::default().module(""), &other, &services()).unwrap();
    assert_ne!(fs::read(&name).unwrap(), good_one);
}

#[test]
fn the_directory_is_the_users_own() {
    let bench = Bench::new();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bench.artifacts.path().to_owned()), 0o700);
    let key = bench.artifacts.path().join("key");
    assert_eq!(mode(key.clone()), 0o600);
    let first = fs::read(&key).unwrap();
    again(&bench);
    assert_eq!(fs::read(&key).unwrap(), first);
    // A key that others could read is none.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    again(&bench);
    assert_ne!(fs::read(&key).unwrap(), first);
}
