//! Tests of `[[function]]`, `[[kv_store]]` and `hooks`: what is written is what runs, each rule broken once.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::compiled::{FetchHost, Flavor, KvGrant, Mode, OnError};

const ORIGIN: &str = "[[origin]]\nname = 'o'\nurl = 'http://h'\n";

fn read(text: &str) -> Result<Config, Vec<String>> {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("f.js"), "exports.handler = 1").unwrap();
    std::fs::create_dir_all(dir.path().join("package/lib")).unwrap();
    std::fs::write(dir.path().join("package/package.json"), "{}").unwrap();
    std::fs::write(dir.path().join("package/lib/a.js"), "").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let one = |error: &ConfigError| match error {
        ConfigError::Invalid(d) => format!("{}:{} {}", d.line, d.column, d.message),
        other => other.to_string(),
    };
    let text = format!("{ORIGIN}{text}");
    parse(&text, "t.toml", dir.path()).map_err(|errors| errors.iter().map(one).collect())
}

#[test]
fn what_is_written_is_what_runs() {
    let config = read(
        r#"
        [functions]
        concurrency = 7
        memory = "32MiB"
        [[kv_store]]
        name = "redirects"
        [[function]]
        name = "f"
        file = "f.js"
        flavor = "cloudfront-2.0"
        mode = "strict"
        cpu = "5ms"
        timeout = "1s"
        memory = "16MiB"
        concurrency = 3
        reuse = 100
        record = "1%"
        [function.grants]
        config = { A = "1" }
        kv = ["redirects", { store = "redirects", write = true }]
        geo = true
        fetch = { allow = ["*.api.example", "b.test:8443"], private = ["10.0.0.0/8", "127.0.0.1"] }
        [[function]]
        name = "g"
        file = "package"
        [[behavior]]
        match = "*"
        origin = "o"
        [behavior.hooks]
        viewer_request = "f"
        origin_request = ["g", { function = "f", on_error = "skip", include_body = true, cpu = "9ms", memory = "8MiB" }]
        "#,
    )
    .unwrap();
    assert_eq!((config.engine.concurrency, config.engine.memory), (7, 32 << 20));
    let [f, g] = config.functions.as_slice() else { panic!("two functions") };
    assert_eq!((f.flavor, f.mode, f.cpu, f.timeout), (Flavor::CloudFront2, Mode::Strict, ms(5), ms(1000)));
    assert_eq!((f.memory, f.concurrency, f.reuse, f.record), (16 << 20, 3, 100, 100));
    let store = |write| KvGrant { store: "redirects".into(), write };
    assert_eq!(f.grants.kv, [store(false), store(true)]);
    assert!(f.grants.geo && !f.grants.clock);
    let fetch = f.grants.fetch.as_ref().unwrap();
    let host = |pattern: &str, port| FetchHost { pattern: pattern.into(), port };
    assert_eq!(fetch.allow, [host("*.api.example", None), host("b.test", Some(8443))]);
    assert_eq!(fetch.private.len(), 2);
    assert_eq!((g.flavor, g.mode, g.cpu, g.timeout, g.reuse), (Flavor::Auto, Mode::Extended, ms(50), ms(5000), 1));
    let hooks = &config.behaviors[0].hooks;
    assert_eq!((hooks.viewer_request.len(), hooks.origin_request.len(), hooks.viewer_response.len()), (1, 2, 0));
    let second = &hooks.origin_request[1];
    assert_eq!((second.function, second.on_error, second.include_body), (0, OnError::Skip, true));
    assert_eq!((second.cpu, second.memory), (Some(ms(9)), Some(8 << 20)));
    let watched: Vec<_> = config.sources.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert!(["f.js", "package.json", "a.js"].iter().all(|name| watched.contains(name)), "{watched:?}");
    assert!(config.sources.iter().all(|path| path.is_absolute() || path == Path::new("t.toml")));
}

/// A change of an imported file was no reason to reload: only the file that is named was watched.
#[test]
fn what_typescript_may_import_is_watched() {
    let dir = tempfile::TempDir::new().unwrap();
    let files = [
        ("src/index.ts", true),
        ("src/rules.ts", true),
        ("src/lib/a.mts", true),
        ("src/lib/table.json", true),
        ("src/notes.md", false),
        ("src/node_modules/p/index.js", false),
        ("src/.cache/x.js", false),
        ("src/state/records/call.json", false),
        ("other.ts", false),
    ];
    for (file, _) in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let text =
        |file: &str| format!("[pop]\nstate_dir = 'src/state'\n{ORIGIN}[[function]]\nname = 'f'\nfile = '{file}'\n");
    let config = parse(&text("src/index.ts"), "t.toml", dir.path()).unwrap();
    for (file, want) in files {
        let path = dir.path().join(file);
        assert_eq!(config.sources.contains(&path), want, "{file}");
        assert_eq!(config.functions[0].is_built_from(&path) && config.sources.contains(&path), want, "{file}");
    }
    // JavaScript is what its file says.
    std::fs::write(dir.path().join("src/index.js"), "").unwrap();
    let config = parse(&text("src/index.js"), "t.toml", dir.path()).unwrap();
    assert!(!config.sources.contains(&dir.path().join("src/rules.ts")));
    assert!(!config.functions[0].is_built_from(&dir.path().join("src/rules.ts")));
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn each_rule_broken_once() {
    let function = "[[function]]\nname = 'f'\nfile = 'f.js'\n";
    let behavior = "[[behavior]]\nmatch = '*'\norigin = 'o'\n";
    for (text, want) in [
        ("[[function]]\nname = 'a b'\nfile = 'f.js'\n".to_owned(), "'a b' is no name"),
        (format!("{function}{function}"), "the name 'f' is taken"),
        ("[[function]]\nname = 'f'\nfile = 'none.js'\n".to_owned(), "none.js"),
        ("[[function]]\nname = 'f'\nfile = 'empty'\n".to_owned(), "has no package.json"),
        (format!("{function}cpu = '0'\n"), "must be more than 0"),
        (format!("{function}memory = '1KiB'\n"), "64KiB to 4GiB"),
        (format!("{function}memory = '1GiB'\n"), "functions.memory"),
        (format!("{function}flavor = 'deno'\n"), "deno"),
        (format!("{function}grants = {{ kv = ['s'] }}\n"), "unknown store 's'"),
        (format!("{function}grants = {{ secrets = {{ A = 'plain' }} }}\n"), "never written in the configuration"),
        (format!("{function}grants = {{ fetch = {{ allow = ['https://a'] }} }}\n"), "is no host"),
        (format!("{function}grants = {{ fetch = {{ allow = [], private = ['x'] }} }}\n"), "is no network"),
        (format!("{function}{behavior}hooks = {{ viewer_request = 'g' }}\n"), "unknown function 'g'"),
        (format!("{function}{behavior}hooks = {{ viewer_requests = 'f' }}\n"), "viewer_requests"),
        (format!("{function}{behavior}hooks = {{ viewer_request = {{ function = 'f', onerror = 1 }} }}\n"), "onerror"),
    ] {
        let errors = read(&text).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert!(errors.iter().any(|error| error.contains(want)), "{text}\n{errors:?}");
    }
}

#[test]
fn geo_without_a_database_is_warned_of() {
    let function = "[[function]]\nname = 'f'\nfile = 'f.js'\n";
    for (grants, want) in [
        ("grants.geo = true\n", Some("t.toml:7:14: 'f' may look addresses up, and `geo.databases` names no database")),
        ("grants.geo = true\n[geo]\ndatabases = ['f.js']\n", None),
        ("grants.clock = true\n", None),
    ] {
        let warnings = read(&format!("{function}{grants}")).unwrap().warnings;
        let found = warnings.iter().find(|warning| warning.contains("may look addresses up"));
        assert_eq!(found.is_some(), want.is_some(), "{grants}: {warnings:?}");
        assert!(want.is_none_or(|want| found.is_some_and(|found| found.starts_with(want))), "{grants}: {warnings:?}");
    }
}

#[test]
fn strict_code_is_no_larger_than_lambda_edge_takes() {
    let dir = tempfile::TempDir::new().unwrap();
    // Digits without a pattern: a zip needs nearly half of their bytes.
    let digits: String = (0..300_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    std::fs::write(dir.path().join("f.js"), format!("exports.handler = null; // {digits}\n")).unwrap();
    for (mode, hooks, want) in [
        ("strict", "viewer_request = 'f'", Some("7:28")),
        ("strict", "viewer_response = { function = 'f', on_error = 'skip' }", Some("7:29")),
        ("strict", "origin_request = 'f'", None),
        ("strict", "", None),
        ("strict'\nflavor = 'cloudfront-2.0", "viewer_request = 'f'", None),
        ("extended", "viewer_request = 'f'", None),
    ] {
        let behavior = format!("[[behavior]]\nmatch = '*'\norigin = 'o'\nhooks = {{ {hooks} }}\n");
        let text = format!("{ORIGIN}{behavior}[[function]]\nname = 'f'\nfile = 'f.js'\nmode = '{mode}'\n");
        let found = parse(&text, "t.toml", dir.path()).err().map(|errors| errors.to_string());
        assert_eq!(found.is_some(), want.is_some(), "{mode} {hooks}: {found:?}");
        let Some((at, found)) = want.zip(found) else { continue };
        assert!(found.starts_with(&format!("t.toml:{at}: function 'f': its code has ")), "{hooks}: {found}");
        assert!(
            found.contains("Lambda@Edge takes 1048576 at viewer events, with mode = \"strict\""),
            "{hooks}: {found}"
        );
    }
}
