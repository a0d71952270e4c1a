//! Tests of `rimward kv`: arguments in, requests and words out.

use super::*;
use crate::admin::fixture::Pop;
use crate::cli::{Cli, Command};
use clap::Parser;

fn kv(pop: &Pop, line: &[&str]) -> Result<String, Failed> {
    let url = pop.url();
    let line = ["rimward", "kv"].into_iter().chain(line.iter().copied()).chain(["--admin", &url]);
    let Command::Admin(crate::cli::Admin::Kv(kv)) = Cli::try_parse_from(line).unwrap().command else {
        unreachable!("a kv command")
    };
    let mut out = Vec::new();
    run(&kv, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn values_are_read_written_listed_and_removed() {
    let pop = Pop::start(None);
    assert_eq!(kv(&pop, &["get", "flags", "beta"]).unwrap(), "on\n");
    assert_eq!(kv(&pop, &["put", "flags", "a key/with ü%", "a value\nof two lines"]).unwrap(), "");
    assert_eq!(kv(&pop, &["get", "flags", "a key/with ü%"]).unwrap(), "a value\nof two lines\n");
    assert_eq!(kv(&pop, &["list", "flags", "--keys"]).unwrap(), "a key/with ü%\nbeta\n");
    assert_eq!(kv(&pop, &["delete", "flags", "a key/with ü%"]).unwrap(), "");
    assert_eq!(kv(&pop, &["list", "flags"]).unwrap(), "beta\ton\n");
}

#[test]
fn a_file_is_imported_in_as_many_updates_as_it_takes() {
    let pop = Pop::start(None);
    let data: Vec<_> =
        (0..120).map(|n| serde_json::json!({ "key": format!("k{n:03}"), "value": n.to_string() })).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::json!({ "data": data }).to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(kv(&pop, &["import", "flags", path]).unwrap(), "120 keys set in flags\n");
    let listed = kv(&pop, &["list", "flags"]).unwrap();
    assert_eq!(listed.lines().count(), 121);
    assert!(listed.contains("\nk119\t119\n"), "{listed}");
}

#[test]
fn a_value_comes_from_a_file() {
    let pop = Pop::start(None);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file").unwrap();
    kv(&pop, &["put", "flags", "f", "--file", file.path().to_str().unwrap()]).unwrap();
    assert_eq!(kv(&pop, &["get", "flags", "f"]).unwrap(), "from a file\n");
}

#[test]
fn failures_say_what_is_wrong_and_have_a_code() {
    let pop = Pop::start(None);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"beta": "on"}"#).unwrap();
    let path = file.path().to_str().unwrap();
    let large = "x".repeat(2048);
    for (line, says, code) in [
        (["get", "flags", "none"].as_slice(), "store 'flags': there is no such key", 1),
        (&["delete", "flags", "none"], "no such key", 1),
        (&["get", "other", "beta"], "store 'other': there is no such key value store", 1),
        (&["put", "flags", "k", &large], "store 'flags': ", 2),
        (&["put", "flags", "k", "--file", "/nonexistent"], "/nonexistent: ", 2),
        (&["import", "flags", path], "an import is {\"data\"", 2),
    ] {
        let failed = kv(&pop, line).unwrap_err();
        assert!(failed.to_string().contains(says), "{failed}");
        assert_eq!(failed.exit_code(), code, "{failed}");
    }
    let guarded = Pop::start(Some("s3cret"));
    let failed = kv(&guarded, &["get", "flags", "beta"]).unwrap_err();
    assert!(failed.to_string().contains("--token-file PATH"), "{failed}");
}

#[test]
fn an_empty_key_is_refused_before_anything_is_sent() {
    for line in [["get", "flags", ""].as_slice(), &["delete", "flags", ""], &["put", "flags", "", "v"]] {
        let error = Cli::try_parse_from(["rimward", "kv"].into_iter().chain(line.iter().copied())).unwrap_err();
        assert!(error.to_string().contains("the key is empty"), "{line:?}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn batches_hold_what_an_update_takes() {
    let line = |bytes: usize| Line { key: String::new(), value: "x".repeat(bytes) };
    for (sizes, want) in [
        (vec![], vec![]),
        (vec![1; 50], vec![50]),
        (vec![1; 101], vec![50, 50, 1]),
        (vec![BATCH_BYTES, 1, BATCH_BYTES], vec![1, 1, 1]),
        (vec![BATCH_BYTES * 2], vec![1]),
    ] {
        let lines: Vec<Line> = sizes.iter().map(|bytes| line(*bytes)).collect();
        let got: Vec<usize> = batches(&lines).iter().map(|part| part.len()).collect();
        assert_eq!(got, want);
    }
}

#[test]
fn paths_are_encoded() {
    for (text, want) in [("a-B_1.~", "a-B_1.~"), ("a/b c", "a%2Fb%20c"), ("ü?#%", "%C3%BC%3F%23%25")] {
        assert_eq!(encoded(text), want);
    }
}
