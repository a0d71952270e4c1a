//! Purge: what the operator withdraws is not served again (hard), or not without asking (soft).
//!
//! In: purges by URL, prefix, host, tag, all. Out: exactly those objects gone, for good. Never: one that survives a crash.

use crate::harness::pop::{TOKEN, run};
use crate::harness::raw::request;
use crate::harness::{Gate, HOST, Origin, Pop, until};
use serde_json::{Value, json};

fn tagged() -> Origin {
    Origin::start(|x| {
        let tags = match x.request.target.as_str() {
            "/dir/a" => "red blue",
            "/dir/b" => "blue",
            _ => "green",
        };
        x.reply("200 OK", &format!("Cache-Control: max-age=600\r\nSurrogate-Key: {tags}\r\n"), format!("v{}", x.nth));
    })
}

/// Every object the tests below look at: (host, target).
const OBJECTS: [(&str, &str); 6] = [
    (HOST, "/dir/a"),
    (HOST, "/dir/b"),
    (HOST, "/dir/b?q=1"),
    (HOST, "/dirt"),
    (HOST, "/other"),
    ("other.example", "/dir/a"),
];

fn fill(pop: &Pop) {
    for (host, target) in OBJECTS {
        pop.get_with(target, &[("Host", host)]);
        assert!(pop.get_with(target, &[("Host", host)]).hit(), "{host}{target}");
    }
}

/// Which of [`OBJECTS`] are still hits. Asking fills those that are not.
fn left(pop: &Pop) -> Vec<String> {
    let ask = |(host, target): &(&str, &str)| pop.get_with(target, &[("Host", host)]).hit();
    OBJECTS.iter().filter(|object| ask(object)).map(|(host, target)| format!("{host}{target}")).collect()
}

fn expected(purged: &[usize]) -> Vec<String> {
    let kept = OBJECTS.iter().enumerate().filter(|(n, _)| !purged.contains(n));
    kept.map(|(_, (host, target))| format!("{host}{target}")).collect()
}

fn policy() -> &'static str {
    "cache = { key.query = \"all\", tag_headers = [\"surrogate-key\"] }"
}

fn scopes() -> Vec<(Value, Vec<usize>)> {
    vec![
        (json!({"url": format!("http://{HOST}/dir/a")}), vec![0]),
        (json!({"url": format!("http://{HOST}/dir/b?q=1")}), vec![2]),
        (json!({"prefix": format!("http://{HOST}/dir/")}), vec![0, 1, 2]),
        (json!({"prefix": format!("http://{HOST}/dir")}), vec![0, 1, 2, 3]),
        (json!({"host": "other.example"}), vec![5]),
        (json!({"host": "OTHER.example"}), vec![5]),
        (json!({"tag": "red"}), vec![0, 5]),
        (json!({"tag": "blue"}), vec![0, 1, 5]),
        (json!({"tag": "BLUE"}), vec![0, 1, 5]),
        (json!({"tag": "nobody"}), vec![]),
        (json!({"all": true}), vec![0, 1, 2, 3, 4, 5]),
    ]
}

#[test]
fn each_scope_takes_exactly_its_objects() {
    let origin = tagged();
    let pop = Pop::caching(&origin, policy());
    for (what, gone) in scopes() {
        fill(&pop);
        pop.purge(&what);
        assert_eq!(left(&pop), expected(&gone), "{what}");
    }
}

#[test]
fn a_purge_survives_a_crash_with_objects_on_disk() {
    let origin = tagged();
    let disk = "[cache]\ndisk = { path = \"{dir}/cache\", size = \"64MiB\" }\n";
    let behavior = format!("[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{}\n", policy());
    let mut pop = Pop::start(format!("{disk}{}{behavior}", origin.config("o")));
    fill(&pop);
    pop.purge(&json!({"tag": "red"}));
    pop.crash_and_restart();
    let asked = origin.count();
    assert!(!pop.get("/dir/a").hit(), "accepted before the crash, holds after it");
    assert!(!pop.get_with("/dir/a", &[("Host", "other.example")]).hit());
    assert_eq!(origin.count(), asked + 2);
}

#[test]
fn hosts_that_share_an_object_share_its_purges() {
    let origin = Origin::counting("Cache-Control: max-age=600\r\n");
    let behavior = |name: &str, pattern: &str| {
        format!(
            "[[behavior]]\nname = \"{name}\"\nmatch = \"{pattern}\"\norigin = \"o\"\ncache = {{ key.ignore_host = true }}\n"
        )
    };
    let (one, all) = (behavior("one", "*.shared.example/*"), behavior("all", "*"));
    let pop = Pop::start(format!("{}{one}{all}", origin.config("o")));
    // The first host asks, the second one's URL is purged: (in memory and on the full path alike) neither is served the old body.
    let (first, second) = ("a.shared.example", "b.shared.example");
    for scope in [
        json!({"url": format!("http://{second}/dir/x")}),
        json!({"host": second}),
        json!({"prefix": format!("http://{second}/dir/")}),
        json!({"url": format!("http://{first}/dir/x")}),
    ] {
        for more in [&[][..], &[("Via", "1.1 x")][..]] {
            let get = |host| pop.get_with("/dir/x", &[&[("Host", host)], more].concat());
            get(first);
            let before = get(second);
            assert!(before.hit(), "{scope}");
            pop.purge(&scope);
            let after = get(second);
            assert!(!after.hit() && after.text() != before.text(), "{scope}");
            assert_eq!((get(first).text(), get(first).hit()), (after.text(), true), "{scope}");
        }
    }
    // Another behavior's host takes nothing of theirs.
    let before = pop.get_with("/dir/x", &[("Host", first)]);
    pop.purge(&json!({"host": "other.example"}));
    pop.purge(&json!({"url": "http://other.example/dir/x"}));
    assert_eq!(pop.get_with("/dir/x", &[("Host", first)]).text(), before.text());
}

#[test]
fn a_soft_purge_asks_the_origin_once_and_may_serve_stale() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        let n = x.nth + 1;
        if n > 1 {
            held.wait();
        }
        x.reply("200 OK", "Cache-Control: max-age=600, stale-while-revalidate=600\r\n", format!("v{n}"));
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    pop.purge(&json!({"url": format!("http://{HOST}/a"), "soft": true}));
    assert_eq!(pop.get("/a").text(), "v1", "served stale while the origin is asked");
    origin.wait(2);
    gate.open();
    until("the new version", || (pop.get("/a").text() == "v2").then_some(()));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_soft_purge_revalidates_with_the_stored_validator() {
    let origin = Origin::start(|x| {
        if x.field("if-none-match") == Some("\"e\"") {
            x.head("304 Not Modified", "ETag: \"e\"\r\nCache-Control: max-age=600\r\n");
        } else {
            x.reply("200 OK", "ETag: \"e\"\r\nCache-Control: max-age=600\r\n", "the body");
        }
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    pop.purge(&json!({"all": true, "soft": true}));
    let renewed = pop.get("/a");
    assert_eq!((renewed.status, renewed.text().as_str()), (200, "the body"));
    assert_eq!(origin.last().field("if-none-match"), Some("\"e\""));
    assert!(pop.get("/a").hit());
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_fill_that_began_before_the_purge_does_not_survive_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        if x.nth == 0 {
            held.wait();
        }
        x.reply("200 OK", "Cache-Control: max-age=600\r\n", format!("v{}", x.nth + 1));
    });
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/a", &[], b""));
    origin.wait(1);
    pop.purge(&json!({"url": format!("http://{HOST}/a")}));
    gate.open();
    assert_eq!(viewer.reply("GET").text(), "v1", "who was waiting gets what was fetched for him");
    assert_eq!(pop.get("/a").text(), "v2");
    assert!(pop.get("/a").hit());
}

#[test]
fn a_purge_takes_every_variant() {
    let origin = Origin::start(|x| {
        let body = format!("{:?}{}", x.field("x-a"), x.nth);
        x.reply("200 OK", "Cache-Control: max-age=600\r\nVary: X-A\r\n", body);
    });
    let pop = Pop::caching(&origin, "forward = { headers = \"all\" }");
    let ask = |value| pop.get_with("/a", &[("X-A", value)]);
    for value in ["1", "2", "3"] {
        ask(value);
        assert!(ask(value).hit());
    }
    pop.purge(&json!({"url": format!("http://{HOST}/a")}));
    for value in ["1", "2", "3"] {
        assert!(!ask(value).hit(), "{value}");
    }
}

#[test]
fn the_admin_api_wants_its_token_and_says_what_is_wrong() {
    use crate::harness::Raw;
    let origin = tagged();
    let pop = Pop::caching(&origin, "");
    fill(&pop);
    let body = b"{\"all\":true}";
    for fields in [&[][..], &[("Authorization", "Bearer wrong")], &[("Authorization", "Basic dG9rZW4=")]] {
        let mut raw = Raw::connect(pop.admin);
        raw.send(request("POST", "/purge", fields, body));
        assert_eq!(raw.reply("POST").status, 401, "{fields:?}");
    }
    for bad in ["", "{", "{}", "{\"uri\":\"x\"}", "{\"url\":\"\"}", "{\"url\":7}", "{\"all\":false}", "[]"] {
        let reply = pop.admin("POST", "/purge", bad);
        assert!((400..500).contains(&reply.status), "{bad:?}: {}", reply.status);
        assert!(!reply.body.is_empty(), "{bad:?}: says what is wrong");
    }
    assert!(pop.get("/other").hit(), "none of these purged anything");
}

/// A URL is purged as it was asked for, also with what the key leaves out or has in another order.
#[test]
fn a_purge_by_url_covers_what_the_key_makes_of_it() {
    let origin = Origin::counting("Cache-Control: max-age=600\r\n");
    let key = "cache = { key.query = { except = [\"utm\"] }, key.sort_query = true }";
    let pop = Pop::caching(&origin, key);
    let all = ["/a?utm=1", "/b?y=1&x=2&utm=3", "/c?z=1"];
    for path in all {
        pop.get(path);
        assert!(pop.get(path).hit(), "{path}");
    }
    for path in &all[..2] {
        pop.purge(&json!({"url": format!("http://{HOST}{path}")}));
        assert!(!pop.get(path).hit(), "{path}");
    }
    assert!(pop.get(all[2]).hit(), "nothing else is gone");
}

/// As the README has operators do it.
#[test]
fn the_command_takes_exactly_its_objects() {
    let origin = tagged();
    let pop = Pop::caching(&origin, policy());
    let token = pop.dir().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let (admin, token) = (format!("http://{}", pop.admin), token.to_str().unwrap());
    let url = |path: &str| format!("http://{HOST}{path}");
    for (words, gone) in [
        (&["--url", &url("/dir/a")][..], &[0][..]),
        (&["--url", &url("/dir/a"), "--url", &url("/other")], &[0, 4]),
        (&["--prefix", &url("/dir/")], &[0, 1, 2]),
        (&["--prefix", "/dir/"], &[0, 1, 2, 5]),
        (&["--host", "other.example"], &[5]),
        (&["--tag", "red", "--tag", "green"], &[0, 2, 3, 4, 5]),
        (&["--soft", "--tag", "blue"], &[0, 1, 5]),
        (&["--all", "--wait"], &[0, 1, 2, 3, 4, 5]),
    ] {
        fill(&pop);
        let (status, said, error) = run(&[&["purge"], words, &["--admin", &admin, "--token-file", token]].concat());
        assert!(status.success() && error.is_empty(), "{words:?}: {said}{error}");
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
        assert_eq!(left(&pop), expected(gone), "{words:?}");
    }
    let (status, _, error) = run(&["purge", "--url", "/dir/a", "--admin", &admin, "--token-file", token]);
    assert_eq!((status.code(), error.contains("/dir/a")), (Some(2), true), "{error}");
}
