//! Configuration: mistakes are named where they are, and a bad file never replaces a good one.
//!
//! In: files, good and bad. Out: errors with line, caret and suggestion; snapshots that swap whole. Never: half a reload.

use crate::harness::pop::{TOKEN, free_port, run};
use crate::harness::{HOST, Origin, Pop, Raw, Setup, until};
use std::path::Path;

fn check(dir: &Path, text: &str) -> (bool, String) {
    let path = dir.join("check.toml");
    std::fs::write(&path, text).unwrap();
    let (status, stdout, stderr) = run(&["check", path.to_str().unwrap()]);
    (status.success(), format!("{stdout}{stderr}"))
}

const GOOD: &str = "[pop]\ncode = \"FRA\"\nlisten = [\"127.0.0.1:0\"]\n\n[[origin]]\nname = \"app\"\nurl = \"http://127.0.0.1:9\"\n\n\
                    [[behavior]]\nmatch = \"*\"\norigin = \"app\"\n";

#[test]
fn a_good_file_passes_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let (ok, said) = check(dir.path(), GOOD);
    assert!(ok, "{said}");
}

#[test]
fn mistakes_are_shown_where_they_are_with_the_nearest_valid_name() {
    let dir = tempfile::tempdir().unwrap();
    // (the good line, the bad line, what the error must say)
    let table: &[(&str, &str, &[&str])] = &[
        ("code = \"FRA\"", "cod = \"FRA\"", &[":2", "^", "cod", "code"]),
        ("url = \"http://127.0.0.1:9\"", "ulr = \"http://127.0.0.1:9\"", &[":7", "^", "ulr", "url"]),
        ("origin = \"app\"", "origin = \"ap\"", &[":11", "^", "ap", "app"]),
        ("origin = \"app\"", "origin = \"app\"\ncache = { tll = \"1m\" }", &[":12", "^", "tll", "ttl"]),
        ("origin = \"app\"", "origin = \"app\"\ncache = { ttl = \"1 fortnight\" }", &[":12", "^", "fortnight"]),
        ("origin = \"app\"", "origin = \"app\"\ncache = { ttl = 60 }", &[":12", "^"]),
        ("origin = \"app\"", "origin = \"app\"\ncache = { max_object = \"1XB\" }", &[":12", "^", "1XB"]),
        ("origin = \"app\"", "origin = \"app\"\nmethods = [\"G T\"]", &[":12", "^", "G T"]),
        ("origin = \"app\"", "origin = \"app\"\nviewer_protocol = \"https-olny\"", &[":12", "^", "https-olny"]),
        ("listen = [\"127.0.0.1:0\"]", "listen = [\"127.0.0.1:99999\"]", &[":3", "^", "99999"]),
        ("url = \"http://127.0.0.1:9\"", "url = \"ftp://127.0.0.1\"", &[":7", "^", "ftp"]),
        ("name = \"app\"", "name = \"app", &[":6", "^"]),
        (
            "[[behavior]]",
            "[[function]]\nname = \"f\"\nfile = \"f.js\"\nflavor = \"cloudfront\"\n[[behavior]]",
            &[":12", "^", "did you mean 'cloudfront-1.0' or 'cloudfront-2.0'?"],
        ),
    ];
    for (good, bad, said) in table {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(&text, GOOD);
        let (ok, output) = check(dir.path(), &text);
        assert!(!ok, "{bad}: accepted");
        for part in *said {
            assert!(output.contains(part), "{bad}: {part:?} is missing in\n{output}");
        }
    }
}

#[test]
fn names_that_clash_or_lead_nowhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let twice = format!("{GOOD}\n[[origin]]\nname = \"app\"\nurl = \"http://127.0.0.1:8\"\n");
    assert!(!check(dir.path(), &twice).0, "two origins of one name");
    let nobody = format!("{GOOD}\n[[origin_group]]\nname = \"g\"\norigins = [\"app\", \"nobody\"]\n");
    let (ok, said) = check(dir.path(), &nobody);
    assert!(!ok && said.contains("nobody"), "{said}");
    let secret = format!("{GOOD}\n[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"env:RIMWARD_TEST_UNSET\"\n");
    let (ok, said) = check(dir.path(), &secret);
    assert!(!ok && said.contains("RIMWARD_TEST_UNSET"), "{said}");
}

/// What a fresh start would refuse is found before one, and told of the same file in the same words.
#[test]
fn what_new_stores_begin_with_is_read_by_a_check() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{GOOD}\n[[kv_store]]\nname = \"flags\"\nimport = \"flags.json\"\nmode = \"strict\"\n");
    let value = format!("{{\"data\": [{{\"key\": \"a\", \"value\": \"{}\"}}]}}", "v".repeat(1025));
    for (file, says) in [
        (
            "{\"data\": [\n{\"key\": \"a\", \"value\": 1}]}",
            "invalid type: integer `1`, expected a string at line 2 column",
        ),
        ("{\"data\": [", "EOF while parsing a list at line 1 column"),
        (&value, "entry 1: 'a': a value of 1025 bytes, 1024 are allowed with mode = \"strict\""),
        ("{\"data\": [{\"key\": \"a\", \"value\": \"1\"}]}", ""),
    ] {
        std::fs::write(dir.path().join("flags.json"), file).unwrap();
        let (ok, said) = check(dir.path(), &text);
        assert_eq!(ok, says.is_empty(), "{file}: {said}");
        for part in ["check.toml:15:10: store 'flags': cannot import ", "flags.json: ", "\n15 | import", "^", says] {
            assert!(ok || said.contains(part), "{part:?} is missing in\n{said}");
        }
        assert!(ok || !said.contains("check.toml: "), "the file is named once: {said}");
    }
    // A store that is new with a reload.
    let pop = Pop::start(generated("one"));
    std::fs::write(pop.dir().join("flags.json"), "{").unwrap();
    let store = "[[kv_store]]\nname = \"flags\"\nimport = \"flags.json\"\n";
    let refused = pop.reload(&format!("{}{store}", generated("two"))).text();
    assert!(refused.contains("store 'flags': cannot import") && refused.contains("flags.json: EOF"), "{refused}");
    assert_eq!(pop.get("/").text(), "one");
}

/// A start says it as a check does.
#[test]
fn what_a_new_store_cannot_begin_with_is_refused_where_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let state = format!("state_dir = \"{}\"\nlisten", dir.path().join("state").display());
    let store = "\n[[kv_store]]\nname = \"flags\"\nimport = \"flags.json\"\n";
    let path = dir.path().join("run.toml");
    std::fs::write(&path, GOOD.replacen("listen", &state, 1) + store).unwrap();
    std::fs::write(dir.path().join("flags.json"), "{").unwrap();
    let (status, _, said) = run(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("run.toml:16:10: store 'flags': cannot import "), "{said}");
}

/// It was ignored in silence, right or wrong, under a configuration "in force".
#[test]
fn an_import_that_is_not_read_again_is_told() {
    let file = |value: &str| format!("{{\"data\": [{{\"key\": \"k\", \"value\": \"{value}\"}}]}}");
    let config = format!("{}[[kv_store]]\nname = \"flags\"\nimport = \"flags.json\"\n", generated("one"));
    let setup = Setup::new(config.as_str());
    std::fs::write(setup.dir().join("flags.json"), file("first")).unwrap();
    let mut pop = setup.start();
    assert_eq!(pop.reload(&config).status, 200);
    assert!(!pop.stderr().contains("store 'flags'"), "{}", pop.stderr());
    for (text, told) in
        [(file("second"), "kv store 'flags' is in use: "), ("{".to_owned(), "store 'flags': cannot import ")]
    {
        std::fs::write(pop.dir().join("flags.json"), text).unwrap();
        assert_eq!(pop.reload(&config).status, 200, "{told}");
        until("the warning of the reload", || pop.stderr().contains(told).then_some(()));
        pop.restart();
        until("the warning of the start", || pop.stderr().contains(told).then_some(()));
        let value = pop.admin("GET", "/key-value-stores/flags/keys/k", "").text();
        assert!(value.contains("\"first\""), "{value}");
    }
}

/// What only shows when a function is loaded has its place as well.
#[test]
fn mistakes_about_functions_are_shown_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let handler = "function handler(event) { return event.request; }\n";
    let twice = "viewer_request = [\"f\", { function = \"f\", on_error = \"skip\" }]";
    for (source, hooks, more, said) in [
        (
            handler,
            "origin_request = \"f\"",
            "",
            "check.toml:12:28: function 'f' has no handler for origin-request; it has viewer-request, viewer-response",
        ),
        (
            handler,
            "origin_request = { on_error = \"skip\", function = \"f\" }",
            "",
            "check.toml:12:60: function 'f' has no handler for origin-request",
        ),
        (
            handler,
            twice,
            "mode = \"strict\"\n",
            "check.toml:12:47: function 'f' at viewer-request: an event has one function with mode = \"strict\"",
        ),
        (
            handler,
            "viewer_request = \"f\"",
            "mode = \"strict\"\ngrants = { geo = true }\n",
            "check.toml:12:28: function 'f' at viewer-request: AWS's functions at the edge have no geographic database",
        ),
        ("function (", "viewer_request = \"f\"", "", "check.toml:15:8: function 'f' ("),
        (
            handler,
            "viewer_request = \"f\"",
            "[[authorizer]]\nname = \"a\"\nfunction = \"f\"\n",
            "check.toml:19:12: authorizer 'a': its function has no Lambda handler",
        ),
    ] {
        std::fs::write(dir.path().join("f.js"), source).unwrap();
        let function = "[[function]]\nname = \"f\"\nfile = \"f.js\"\nflavor = \"cloudfront-2.0\"\n";
        let (ok, output) = check(dir.path(), &format!("{GOOD}hooks = {{ {hooks} }}\n{function}{more}"));
        assert!(!ok, "{hooks}: accepted");
        assert!(output.contains(said) && output.contains("^^^"), "{said:?} is missing in\n{output}");
    }
    // And in the answer to a reload.
    let pop = Pop::start(generated("one"));
    std::fs::write(pop.dir().join("f.js"), handler).unwrap();
    let function = "hooks = { origin_request = \"f\" }\n[[function]]\nname = \"f\"\nfile = \"f.js\"\n";
    let refused = pop.reload(&format!("{}{function}", generated("two"))).text();
    for part in [":28: function 'f' has no handler for origin-request", "^^^"] {
        assert!(refused.contains(part), "{part:?} is missing in\n{refused}");
    }
    assert_eq!(pop.get("/").text(), "one");
}

/// A cache has the size that it was made with, whatever the file says by now.
#[test]
fn the_size_in_force_is_told() {
    let text = |size: &str| format!("[cache]\nmemory = \"{size}\"\n{}", generated("one"));
    let pop = Pop::start(text("8MiB"));
    assert_eq!(pop.reload(&text("16MiB")).status / 100, 2);
    assert_eq!(pop.status()["cache"]["memory_limit"], 8 << 20);
}

#[test]
fn secrets_are_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{GOOD}headers = {{ x-key = \"env:RIMWARD_TEST_TOKEN\" }}\n");
    let (_, said) = check(dir.path(), &text);
    assert!(!said.contains(TOKEN), "{said}");

    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "x");
    let key = format!("{}headers = {{ x-key = \"env:RIMWARD_TEST_TOKEN\" }}\n", origin.config("o"));
    let text = |origin: &str| format!("{key}[[behavior]]\nmatch = \"*\"\norigin = \"{origin}\"\n");
    let pop = Pop::start(text("o"));
    let id = pop.get("/a").field("x-amz-cf-id").unwrap().to_owned();
    assert_eq!(origin.last().field("x-key"), Some(TOKEN), "it is in use");
    let refused = pop.reload(&text("nobody"));
    assert!((400..500).contains(&refused.status));
    let shown = ["/status", "/config", "/metrics", "/top", "/functions", "/keys", "/fleet"]
        .map(|path| pop.admin("GET", path, ""));
    assert_eq!(shown[1].status, 200);
    let mut said: Vec<String> = shown.iter().map(|reply| reply.text()).collect();
    said.extend([refused.text(), pop.log_line(&id).to_string(), pop.stderr()]);
    assert!(said.iter().all(|said| !said.contains(TOKEN)), "{said:?}");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let (status, _, stderr) = run(&["run", "--config", "/nonexistent/rimward.toml"]);
    assert!(!status.success());
    assert!(stderr.contains("/nonexistent/rimward.toml"), "{stderr}");
}

/// A configuration whose answers say which one it is.
fn generated(body: &str) -> String {
    format!(
        "[[origin]]\nname = \"o\"\ngenerated = {{ status = 200, headers = {{ cache-control = \"no-store\" }}, body = \"{body}\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\n"
    )
}

#[test]
fn a_changed_file_is_noticed() {
    let pop = Pop::start(generated("one"));
    assert_eq!(pop.get("/").text(), "one");
    pop.rewrite(&generated("two"));
    until("the change to be noticed", || (pop.get("/").text() == "two").then_some(()));
}

#[test]
fn sighup_reloads() {
    let pop = Pop::start(generated("one"));
    pop.rewrite(&generated("two"));
    pop.signal("HUP");
    until("the reload", || (pop.get("/").text() == "two").then_some(()));
}

#[test]
fn the_admin_api_reloads_and_names_the_revision() {
    let pop = Pop::start(generated("one"));
    let before = pop.status().to_string();
    let reply = pop.reload(&generated("two"));
    assert_eq!(reply.status / 100, 2, "{}", reply.text());
    assert_eq!(pop.get("/").text(), "two");
    assert_ne!(pop.status().to_string(), before, "/status names another revision");
}

#[test]
fn a_bad_reload_keeps_the_old_snapshot_and_says_why() {
    let pop = Pop::start(generated("one"));
    for bad in ["[[behaviour]]\n", "[[behavior]]\nmatch = \"*\"\norigin = \"nobody\"\n", "= = =\n", ""] {
        let reply = pop.reload(bad);
        assert!((400..500).contains(&reply.status), "{bad:?}: {}", reply.status);
        assert!(!reply.body.is_empty(), "{bad:?}");
        assert_eq!(pop.get("/").text(), "one", "{bad:?}");
        assert_eq!(pop.admin("GET", "/readyz", "").status, 200, "{bad:?}");
    }
    let reply = pop.reload(&generated("two"));
    assert_eq!(reply.status / 100, 2);
    assert_eq!(pop.get("/").text(), "two");
}

/// Whatever fails, and however late: what came before it in the file is not in force either.
#[test]
fn a_refused_reload_changes_no_part() {
    let at = free_port();
    let text = |listener: &str, more: &str| {
        format!(
            "[[listener]]\naddress = \"{at}\"\n{listener}[local_lambda]\nlisten = \"127.0.0.1:0\"\n{LAMBDA}{more}{}",
            generated("one")
        )
    };
    const LAMBDA: &str =
        "[[lambda]]\nname = \"good\"\nruntime = \"provided.al2023\"\nhandler = \"x\"\ncode = \"{dir}/good\"\n";
    let mut setup = Setup::new(text("", ""));
    std::fs::create_dir(setup.dir().join("good")).unwrap();
    std::fs::write(setup.dir().join("good/bootstrap"), "#!/bin/sh\n").unwrap();
    std::fs::write(setup.dir().join("bad.zip"), "no zip").unwrap();
    let dir = setup.dir().display().to_string();
    setup.rest = setup.rest.replace("{dir}", &dir);
    let pop = setup.start();
    let viewer = || {
        let reply = Raw::connect(at).ask("GET", "/", &[("X-Forwarded-For", "203.0.113.7")]);
        pop.log_line(reply.field("x-amz-cf-id").unwrap())["viewer"].clone()
    };
    assert_eq!(viewer(), "127.0.0.1");
    let trusted = "trusted_proxies = [\"127.0.0.1\"]\n";
    let bad = LAMBDA.replace("good", "bad").replace("/bad", "/bad.zip");
    let refused = pop.reload(&text(trusted, &bad).replace("{dir}", &dir));
    assert!((400..500).contains(&refused.status), "{} {}", refused.status, refused.text());
    assert_eq!(viewer(), "127.0.0.1", "{}", refused.text());
    assert_eq!(pop.reload(&text(trusted, "").replace("{dir}", &dir)).status, 200);
    assert_eq!(viewer(), "203.0.113.7");
}

#[test]
fn a_request_sees_one_configuration_only() {
    use crate::harness::Gate;
    use crate::harness::raw::request;
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        held.wait();
        x.reply("200 OK", "Cache-Control: no-store\r\n", "slow");
    });
    let text = |mark: &str| {
        format!(
            "{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nresponse = {{ set = {{ x-config = \"{mark}\" }} }}\n",
            origin.config("o")
        )
    };
    let pop = Pop::start(text("one"));
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/a", &[], b""));
    origin.wait(1);
    assert_eq!(pop.reload(&text("two")).status / 100, 2);
    gate.open();
    assert_eq!(viewer.reply("GET").field("x-config"), Some("one"), "it began under the first");
    assert_eq!(viewer.get("/a").field("x-config"), Some("two"), "the next on the same connection does not");
}

#[test]
fn the_cache_survives_a_reload() {
    let origin = Origin::counting("Cache-Control: max-age=600\r\n");
    let text = format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o"));
    let pop = Pop::start(text.clone());
    pop.get("/a");
    assert_eq!(pop.reload(&format!("{text}# changed\n")).status / 100, 2);
    assert!(pop.get("/a").hit());
    assert!(pop.get_with("/a", &[("Host", HOST)]).hit());
}

#[test]
fn the_annotated_files_run_as_they_are() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = 0;
    for entry in std::fs::read_dir(&dir).expect("config/ exists").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let (status, stdout, stderr) = run(&["check", path.to_str().unwrap()]);
            assert!(status.success(), "{}: {stdout}{stderr}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "no file in {}", dir.display());
}
