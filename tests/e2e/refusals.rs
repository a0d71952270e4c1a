//! Refusals: answers a shared cache must not keep, or not whole (RFC 9111 §3, §3.5, §5.2.2, §7.3).
//!
//! In: answers and requests that carry something personal. Out: whether a second viewer sees it. Never: somebody else's cookie.

use crate::harness::{Origin, Pop, Setup};

#[test]
fn an_answer_to_authorization_is_kept_only_when_it_says_so() {
    let table: &[(&str, bool)] = &[
        ("Cache-Control: max-age=60\r\n", false),
        ("Cache-Control: max-age=60, public\r\n", true),
        ("Cache-Control: max-age=60, must-revalidate\r\n", true),
        ("Cache-Control: s-maxage=60\r\n", true),
    ];
    for (fields, want) in table {
        let origin = Origin::counting(fields);
        let pop = Pop::caching(&origin, "forward = { headers = \"all\" }");
        pop.get_with("/a", &[("Authorization", "Basic dXNlcjpwYXNz")]);
        let second = pop.get("/a");
        assert_eq!(second.hit(), *want, "{fields:?} (RFC 9111 §3.5): {:?}", second.cache());
    }
}

#[test]
fn a_cookie_reaches_only_the_viewer_it_was_set_for() {
    let fields = "Cache-Control: max-age=60\r\nSet-Cookie: session=1\r\n";
    for (policy, stored, cookie_in_hit) in [("refuse", false, true), ("strip", true, false), ("store", true, true)] {
        let origin = Origin::counting(fields);
        let pop = Pop::caching(&origin, &format!("cache = {{ set_cookie = \"{policy}\" }}"));
        let first = pop.get("/a");
        assert_eq!(first.field("set-cookie"), Some("session=1"), "{policy}: the viewer who caused the miss gets it");
        let second = pop.get("/a");
        assert_eq!(second.hit(), stored, "{policy}");
        assert_eq!(second.field("set-cookie").is_some(), cookie_in_hit, "{policy}");
    }
}

#[test]
fn a_cookie_is_refused_unless_the_operator_decides() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\nSet-Cookie: session=1\r\n");
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    assert_eq!(pop.get("/a").text(), "v2");
}

#[test]
fn fields_named_by_no_cache_and_private_are_not_given_from_the_cache() {
    let origin =
        Origin::counting("Cache-Control: max-age=60, no-cache=\"x-personal\"\r\nX-Personal: me\r\nX-Other: all\r\n");
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.get("/a").field("x-personal"), Some("me"));
    let second = pop.get("/a");
    if second.hit() {
        assert_eq!(second.field("x-personal"), None, "RFC 9111 §5.2.2.4");
        assert_eq!(second.field("x-other"), Some("all"));
    } else {
        assert_eq!(origin.count(), 2, "not reused without the origin's word");
    }
}

#[test]
fn unsafe_methods_and_bodies_never_fill_the_cache() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = Pop::caching(&origin, "methods = \"all\"");
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let reply = pop.send(method, "/a", &[], b"x=1");
        assert_eq!(reply.status, 200, "{method}");
        assert_eq!(reply.fwd(), "method", "{method}");
    }
    assert!(!pop.get("/a").hit());
    assert_eq!(origin.count(), 5);
    assert_eq!(origin.requests()[0].body, b"x=1");
}

#[test]
fn an_unsafe_method_that_worked_invalidates_its_url() {
    let origin = Origin::start(|x| {
        let status = if x.field("x-fail").is_some() { "500 Oops" } else { "200 OK" };
        let body = format!("v{}", x.nth + 1);
        x.reply(status, "Cache-Control: max-age=60\r\n", body);
    });
    let pop =
        Pop::caching(&origin, "methods = \"all\"\nforward = { headers = \"all\" }\ncache = { error_ttl = \"0s\" }");
    assert_eq!(pop.get("/a").text(), "v1");
    assert_eq!(pop.get("/b").text(), "v2");
    pop.send("POST", "/a", &[("X-Fail", "1")], b"x");
    assert!(pop.get("/a").hit(), "an error answer invalidates nothing (RFC 9111 §4.4)");
    pop.send("POST", "/a", &[], b"x");
    assert_eq!(pop.get("/a").text(), "v5");
    assert!(pop.get("/b").hit(), "another URL is untouched");
}

#[test]
fn location_of_an_unsafe_answer_is_invalidated_on_the_same_host_only() {
    let origin = Origin::start(|x| {
        let body = format!("v{}", x.nth + 1);
        let location = match x.request.target.as_str() {
            "/form" => "Location: /list\r\n",
            "/evil" => "Location: http://other.example/list\r\n",
            _ => "",
        };
        x.reply("200 OK", &format!("Cache-Control: max-age=60\r\n{location}"), body);
    });
    let pop = Pop::caching(&origin, "methods = \"all\"");
    let other = [("Host", "other.example")];
    pop.get("/list");
    pop.get_with("/list", &other);
    pop.send("POST", "/form", &[], b"x");
    assert!(!pop.get("/list").hit());
    pop.send("POST", "/evil", &[], b"x");
    assert!(pop.get_with("/list", &other).hit(), "another host's object is not ours to drop (RFC 9111 §4.4)");
}

#[test]
fn hop_by_hop_fields_are_neither_forwarded_nor_stored() {
    let fields =
        "Cache-Control: max-age=60\r\nConnection: x-hop\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nX-End: kept\r\n";
    let origin = Origin::fixed(fields, "x");
    let pop = Pop::caching(&origin, "forward = { headers = \"all\" }");
    let ask = [("Connection", "x-mine"), ("X-Mine", "1"), ("TE", "gzip"), ("X-Far", "2")];
    for expect_hit in [false, true] {
        let reply = pop.get_with("/a", &ask);
        assert_eq!(reply.hit(), expect_hit);
        assert_eq!(reply.field("x-hop"), None, "hit: {expect_hit}");
        assert_eq!(reply.field("x-end"), Some("kept"), "hit: {expect_hit}");
    }
    let seen = origin.last();
    assert_eq!((seen.field("x-mine"), seen.field("te"), seen.field("x-far")), (None, None, Some("2")));
}

/// What its location names is stored as the behavior has it that serves it.
#[test]
fn location_in_another_behavior_is_invalidated_by_that_ones_key() {
    let origin = Origin::start(|x| {
        let location = if x.request.target == "/form" { "Location: /list?id=1\r\n" } else { "" };
        x.reply("200 OK", &format!("Cache-Control: max-age=60\r\n{location}"), "x");
    });
    let pop = Pop::start(format!(
        "{}\n[[behavior]]\nmatch = \"/form\"\norigin = \"o\"\nmethods = \"all\"\ncache = {{ key.query = \"none\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = {{ key.query = \"all\" }}\n",
        origin.config("o")
    ));
    for path in ["/list?id=1", "/list?id=2"] {
        pop.get(path);
    }
    pop.send("POST", "/form", &[], b"x");
    assert!(!pop.get("/list?id=1").hit());
    assert!(pop.get("/list?id=2").hit());
}

/// The origin never sees the field, so that its answer is everybody's.
#[test]
fn an_authorization_that_does_not_go_on_changes_nothing() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "x");
    let pop = Pop::caching(&origin, "");
    pop.get_with("/a", &[("Authorization", "Bearer x")]);
    assert_eq!(origin.last().field("authorization"), None);
    assert!(pop.get("/a").hit());
}

/// Its own URL is stored as the behavior has it that it came to, wherever a function sends it.
#[test]
fn what_a_function_rewrites_is_invalidated_by_its_own_behaviors_key() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "x");
    let setup = Setup::new(format!(
        "{}[[function]]\nname = \"f\"\nfile = \"f.js\"\ncpu = \"1s\"\n\
         [[behavior]]\nmatch = \"/shop/*\"\norigin = \"o\"\nmethods = \"all\"\nhooks = {{ viewer_request = \"f\" }}\n\
         cache = {{ key.query = \"all\" }}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = {{ key.query = \"none\" }}\n",
        origin.config("o")
    ));
    let rewrites = "exports.handler = async (event) => {\n  const request = event.Records[0].cf.request;\n\
                    request.uri = request.uri.replace('/shop/', '/kept/');\n  return request;\n};\n";
    std::fs::write(setup.dir().join("f.js"), rewrites).unwrap();
    let pop = setup.start();
    let paths = ["/shop/a?id=1", "/shop/a?id=2"];
    for path in paths {
        pop.get(path);
        assert!(pop.get(path).hit(), "{path}");
    }
    assert_eq!(pop.send("POST", paths[0], &[], b"x").status, 200);
    assert_eq!(origin.last().target, "/kept/a?id=1");
    assert_eq!(paths.map(|path| pop.get(path).hit()), [false, true]);
}
