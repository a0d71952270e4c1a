//! Keys: what makes two requests the same object, and what the origin gets to see of them.
//!
//! In: query, cookies, headers. Out: shared or separate objects as the policy says. Never: two requests that collide.

use crate::harness::{Origin, Pop, Raw, Setup, until};

/// What the origin saw, as a body: query, cookie and one header.
fn mirror() -> Origin {
    Origin::start(|x| {
        let body = format!("{}|{:?}|{:?}|{}", x.request.target, x.field("cookie"), x.field("x-a"), x.nth);
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", body);
    })
}

/// Asks two targets in turn: (were they one object, the target the origin saw first).
fn pair(policy: &str, one: &str, two: &str) -> (bool, String) {
    let origin = mirror();
    let pop = Pop::caching(&origin, policy);
    let first = pop.get(one);
    let second = pop.get(two);
    assert_eq!(first.text() == second.text(), origin.count() == 1);
    (second.hit(), origin.requests()[0].target.clone())
}

#[test]
fn query() {
    let table: &[(&str, &str, &str, bool, &str)] = &[
        ("cache = { key.query = \"none\" }", "/a?x=1", "/a?x=2", true, "/a"),
        ("cache = { key.query = \"all\" }", "/a?x=1", "/a?x=2", false, "/a?x=1"),
        ("cache = { key.query = \"all\" }", "/a?x=1&y=2", "/a?y=2&x=1", false, "/a?x=1&y=2"),
        ("cache = { key.query = \"all\", key.sort_query = true }", "/a?x=1&y=2", "/a?y=2&x=1", true, "/a?x=1&y=2"),
        ("cache = { key.query = [\"x\"] }", "/a?x=1&y=1", "/a?x=1&y=2", true, "/a?x=1"),
        ("cache = { key.query = [\"x\"] }", "/a?x=1", "/a?x=2", false, "/a?x=1"),
        ("cache = { key.query = [\"x\"] }", "/a?xx=1", "/a", true, "/a"),
        ("cache = { key.query = { except = [\"utm\"] } }", "/a?x=1&utm=q", "/a?x=1", true, "/a?x=1"),
        ("cache = { key.query = { except = [\"utm\"] } }", "/a?x=1&utm=q", "/a?x=2", false, "/a?x=1"),
        ("cache = { key.query = \"all\" }", "/a?", "/b", false, "/a?"),
    ];
    for (policy, one, two, same, origin_saw) in table {
        let (hit, target) = pair(policy, one, two);
        assert_eq!(hit, *same, "{policy} {one} {two}");
        assert_eq!(target.trim_end_matches('?'), origin_saw.trim_end_matches('?'), "{policy} {one}");
    }
}

#[test]
fn a_forwarded_query_need_not_be_in_the_key() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "cache = { key.query = \"none\" }\nforward = { query = \"all\" }");
    pop.get("/a?x=1");
    assert!(pop.get("/a?x=2").hit());
    assert_eq!(origin.requests()[0].target, "/a?x=1");
}

#[test]
fn cookies() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "cache = { key.cookies = [\"lang\"] }");
    let ask = |cookie: &str| pop.get_with("/a", &[("Cookie", cookie)]);
    assert!(ask("lang=de; session=1").text().contains("Some(\"lang=de\")"), "only what is in the key is forwarded");
    assert!(ask("session=2; lang=de").hit());
    assert!(!ask("lang=en; session=1").hit());
    assert!(!pop.get("/a").hit());
    assert!(ask("session=9").hit(), "an absent cookie is the same as no cookie");
    assert_eq!(origin.count(), 3);
}

#[test]
fn by_default_cookies_and_headers_are_neither_in_the_key_nor_forwarded() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "");
    pop.get_with("/a", &[("Cookie", "a=1"), ("X-A", "1")]);
    assert!(pop.get("/a").hit());
    assert_eq!(origin.last().field("cookie"), None);
}

#[test]
fn headers() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "cache = { key.headers = [\"x-a\", \"x-b\"] }");
    let ask = |a: &str, b: &str| pop.get_with("/a", &[("X-A", a), ("X-B", b)]);
    assert!(ask("1", "2").text().contains("Some(\"1\")"), "what is in the key is forwarded");
    assert!(ask("1", "2").hit());
    for (a, b) in [("2", "1"), ("12", ""), ("", "12"), ("1", "x-b2")] {
        assert!(!ask(a, b).hit(), "every part is length-prefixed: {a:?} {b:?}");
    }
}

#[test]
fn parts_of_the_key_cannot_flow_into_each_other() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "cache = { key.query = \"all\", key.cookies = \"all\" }");
    for (path, cookie) in [("/a?b", "c=d"), ("/a?bc", "=d"), ("/a", "b=c; d="), ("/a?b=c", "d="), ("/a?b=c;%20d=", "")]
    {
        let fields: &[(&str, &str)] = if cookie.is_empty() { &[] } else { &[("Cookie", cookie)] };
        assert!(!pop.get_with(path, fields).hit(), "{path} {cookie}");
    }
}

#[test]
fn paths_are_not_normalised() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "");
    for path in ["/a/b", "/a//b", "/a/./b", "/a/x/../b", "/a/%62", "/a%2Fb", "/a/b;v=1"] {
        let reply = pop.get(path);
        if reply.status == 400 {
            continue;
        }
        assert!(!reply.hit(), "{path}");
        assert_eq!(origin.last().target, path, "the origin sees the path as the viewer sent it");
    }
}

#[test]
fn what_the_origin_is_told_of_host_and_cookies_is_in_the_key() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = Pop::caching(&origin, "cache = { key.cookies = [\"a\"] }");
    pop.get_with("/a", &[("Host", "shop.example:1337")]);
    assert!(pop.get_with("/a", &[("Host", "SHOP.example:1337")]).hit());
    assert!(!pop.get_with("/a", &[("Host", "shop.example")]).hit(), "the port is told");
    assert!(pop.get_with("/a", &[("Host", "shop.example:80")]).hit(), "this one is no other");
    pop.get_with("/b", &[("Cookie", "a =evil")]);
    assert!(!pop.get("/b").hit(), "origins drop the white space");
}

#[test]
fn hosts_may_share_objects_where_the_operator_says_so() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "cache = { key.ignore_host = true }");
    pop.get_with("/a", &[("Host", "one.example")]);
    assert!(pop.get_with("/a", &[("Host", "two.example")]).hit());
}

/// Whoever asks first would write it into the page of all.
#[test]
fn what_hosts_share_tells_the_origin_of_none() {
    let origin = Origin::start(|x| {
        let told = ["host", "x-forwarded-host", "forwarded"].map(|name| x.field(name).unwrap_or_default().to_owned());
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", told.join("|"));
    });
    let behavior = "methods = \"all\"\ncache = { key.ignore_host = true }\nforward = { forwarded = true }";
    let pop = Pop::caching(&origin, behavior);
    let evil = [("Host", "evil.example")];
    let own = origin.address.to_string();
    assert_eq!(pop.get_with("/a", &evil).text(), format!("{own}||for=127.0.0.1;proto=http"));
    assert!(pop.get("/a").hit());
    // Nobody else gets this answer.
    let changed = pop.send("POST", "/a", &evil, b"x");
    assert_eq!(changed.text(), format!("{own}|evil.example|for=127.0.0.1;host=evil.example;proto=http"));
}

#[test]
fn what_is_added_for_the_origin() {
    let origin = mirror();
    let mut config = origin.config("o").replace(&origin.url(), &format!("{}/base", origin.url()));
    config.push_str("headers = { \"x-shared\" = \"from the edge\" }\n");
    let pop =
        Pop::start(format!("{config}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nforward = {{ forwarded = true }}\n"));
    let mut viewer = pop.raw();
    let from = viewer.local();
    viewer.ask("GET", "/a", &[("X-Shared", "forged"), ("X-Forwarded-For", "6.6.6.6"), ("User-Agent", "Mozilla")]);
    let seen = origin.last();
    assert_eq!(seen.target, "/base/a");
    assert_eq!(seen.field("x-shared"), Some("from the edge"));
    let chain = seen.field("x-forwarded-for").unwrap();
    assert!(chain.ends_with(&from.ip().to_string()), "{chain}");
    assert!(seen.field("forwarded").unwrap().contains("for="));
    assert!(seen.field("via").is_some());
    assert_eq!(seen.field("host"), Some(origin.address.to_string().as_str()));
    assert_eq!(seen.fields.iter().filter(|(n, _)| n == "host").count(), 1);
}

/// RFC 9110 §4.2.3: only the scheme's own port says nothing. What the key leaves out, no origin is told.
#[test]
fn a_port_is_part_of_the_host_but_for_the_schemes_own() {
    let origin = Origin::start(|x| {
        let hosts = [x.field("host"), x.field("x-forwarded-host"), x.field("forwarded")];
        let body = format!("{:?}", hosts.map(Option::unwrap_or_default));
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", body);
    });
    let config = origin.config("o") + "host = \"viewer\"\n";
    let pop = Pop::start(format!("{config}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n"));
    let ask = |host: &str| pop.get_with("/a", &[("Host", host), ("Forwarded", "host=evil.example")]);
    let first = ask("h.example:80");
    assert_eq!(first.text(), "[\"h.example\", \"h.example\", \"\"]");
    assert!(ask("h.example").hit());
    for host in ["h.example:443", "h.example:8080"] {
        let other = ask(host);
        assert_eq!((other.hit(), other.text()), (false, format!("[\"{host}\", \"{host}\", \"\"]")));
    }
}

/// Behind trusted proxies, the log has the hop that none of them is, whatever a viewer says; the origin is told of every hop.
#[test]
fn hops_are_told_and_the_viewer_is_the_first_that_is_not_trusted() {
    let origin = mirror();
    let behaviors = "[[behavior]]\nmatch = \"/pass\"\norigin = \"o\"\nmethods = \"all\"\ncache = false\n\
                     [[behavior]]\nmatch = \"*\"\norigin = \"o\"\n";
    let mut setup = Setup::new(format!("{}{behaviors}", origin.config("o")));
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned();
    let pop = setup.start();
    // What the viewer made up, and what the proxy added.
    let said = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-For", "203.0.113.7")];
    for (method, path, asks) in
        [("GET", "/kept", true), ("GET", "/kept", false), ("GET", "/pass", true), ("POST", "/pass", true)]
    {
        let reply = Raw::connect(pop.extra[0]).ask(method, path, &said);
        let line = pop.log_line(reply.field("x-amz-cf-id").unwrap());
        assert_eq!(line["viewer"], "203.0.113.7", "{method} {path}: {line}");
        assert_eq!(reply.hit(), !asks);
        if asks {
            let told = origin.last().field("x-forwarded-for").unwrap().to_owned();
            assert_eq!(told, "1.2.3.4, 203.0.113.7, 127.0.0.1", "{method} {path}");
        }
    }
}

/// A background copy of a request is keyed by where its viewer is, not by what the viewer said.
#[test]
fn an_object_by_country_is_refreshed_for_that_country() {
    let origin = Origin::counting("Cache-Control: max-age=0, stale-while-revalidate=60\r\n");
    let database = format!("{}/geo/test.mmdb", env!("CARGO_MANIFEST_DIR"));
    let mut setup = Setup::new(format!(
        "[geo]\ndatabases = [\"{database}\"]\n{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
         cache = {{ key.headers = [\"cloudfront-viewer-country\"] }}\n",
        origin.config("o")
    ));
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned();
    let pop = setup.start();
    let get = |from: &str, says: &str| {
        let fields = [("X-Forwarded-For", from), ("CloudFront-Viewer-Country", says)];
        Raw::connect(pop.extra[0]).ask("GET", "/a", &fields)
    };
    let german = get("192.0.2.1", "US");
    assert_ne!(get("192.0.2.200", "DE").text(), german.text(), "another country");
    assert_eq!(get("192.0.2.1", "FR").text(), german.text(), "stale, at once");
    origin.wait(3);
    until("the refreshed answer", || (get("192.0.2.1", "").text() != german.text()).then_some(()));
    let countries: Vec<_> =
        origin.requests().iter().map(|seen| seen.field("cloudfront-viewer-country").map(str::to_owned)).collect();
    assert_eq!(countries[..3], [Some("DE".into()), Some("US".into()), Some("DE".into())], "{countries:?}");
}
