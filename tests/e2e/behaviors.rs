//! Behaviors: which rule a request falls under and what that rule does to it (CloudFront's matching, policies and pages).
//!
//! In: host, path, method, scheme. Out: the first matching behavior's work. Never: the next one's.

use crate::harness::{Authority, Origin, Pop, Raw, Reply, Setup};

fn mirror() -> Origin {
    Origin::start(|x| {
        let body = x.request.target.clone();
        x.reply("200 OK", "Cache-Control: max-age=60\r\nX-Origin: yes\r\nServer: app\r\n", body);
    })
}

#[test]
fn the_first_pattern_that_matches_serves() {
    let origin = mirror();
    let patterns = [
        "/exact",
        "/img/*.jpg",
        "/api/?/x",
        "/*.php",
        "shop.example/host-only",
        "*.wild.example/*",
        "/Case",
        "/a*b*c",
        "*",
    ];
    let mut text = origin.config("o");
    for (n, pattern) in patterns.iter().enumerate() {
        text.push_str(&format!(
            "[[behavior]]\nmatch = \"{pattern}\"\norigin = \"o\"\nresponse = {{ set = {{ x-rule = \"{n}\" }} }}\n"
        ));
    }
    let pop = Pop::start(text);
    let last = "8";
    let table = [
        ("shop.example", "/exact", "0"),
        ("shop.example", "/exact/", last),
        ("shop.example", "/exact?q=1", "0"),
        ("shop.example", "/img/a.jpg", "1"),
        ("shop.example", "/img/deep/er/a.jpg", "1"),
        ("shop.example", "/img/a.JPG", last),
        ("shop.example", "/api/1/x", "2"),
        ("shop.example", "/api/12/x", last),
        ("shop.example", "/deep/index.php", "3"),
        ("shop.example", "/index.php?x=.html", "3"),
        ("shop.example", "/index.html?x=.php", last),
        ("shop.example", "/host-only", "4"),
        ("SHOP.example:8080", "/host-only", "4"),
        ("other.example", "/host-only", last),
        ("a.wild.example", "/x", "5"),
        ("a.b.wild.example", "/x", "5"),
        ("wild.example", "/x", last),
        ("shop.example", "/Case", "6"),
        ("shop.example", "/case", last),
        ("shop.example", "/a1b2c", "7"),
        ("shop.example", "/abc", "7"),
        ("shop.example", "/acb", last),
        ("shop.example", "/", last),
    ];
    for (host, path, rule) in table {
        let reply = pop.get_with(path, &[("Host", host)]);
        assert_eq!(reply.field("x-rule"), Some(rule), "{host}{path}");
    }
}

#[test]
fn what_no_behavior_matches_is_not_found() {
    let origin = mirror();
    let pop = Pop::start(format!("{}[[behavior]]\nmatch = \"/only/*\"\norigin = \"o\"\n", origin.config("o")));
    assert_eq!(pop.get("/only/a").status, 200);
    let reply = pop.get("/else");
    assert!(matches!(reply.status, 403 | 404), "{}", reply.status);
    assert_eq!(origin.count(), 1);
}

#[test]
fn methods() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.send("HEAD", "/a", &[], b"").status, 200);
    let before = origin.count();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let reply = pop.send(method, "/a", &[], b"");
        assert!(matches!(reply.status, 403 | 405), "{method}: {}", reply.status);
    }
    assert_eq!(origin.count(), before, "none of them reached the origin");
    let pop = Pop::caching(&origin, "methods = [\"GET\", \"POST\"]");
    assert_eq!(pop.send("POST", "/a", &[], b"x").status, 200);
    assert!(matches!(pop.send("PUT", "/a", &[], b"x").status, 403 | 405));
}

/// The same behavior asked on a plain and on a TLS port.
fn both_schemes(policy: &str) -> (Reply, Reply) {
    let origin = mirror();
    let authority = Authority::new();
    let mut setup = Setup::new(format!(
        "{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nviewer_protocol = \"{policy}\"\n",
        origin.config("o")
    ));
    authority.issue(&["shop.example"]).files(setup.dir(), "shop");
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\n\
                       tls = { certificates = [{ cert = \"{dir}/shop.pem\", key = \"{dir}/shop.key\" }] }\n"
        .to_owned();
    let pop = setup.start();
    let mut secure = Raw::secure(pop.extra[0], "shop.example", authority.client(&[], None)).unwrap();
    (pop.get("/a?q=1"), secure.get("/a?q=1"))
}

#[test]
fn viewer_protocol() {
    let (plain, secure) = both_schemes("allow-all");
    assert_eq!((plain.status, secure.status), (200, 200));
    let (plain, secure) = both_schemes("https-only");
    assert_eq!((plain.status, secure.status), (403, 200));
    let (plain, secure) = both_schemes("redirect-to-https");
    assert_eq!((plain.status, secure.status), (301, 200));
    assert_eq!(plain.field("location"), Some("https://shop.example/a?q=1"));
    assert!(plain.field("x-cache").unwrap().starts_with("Redirect"));
}

#[test]
fn response_headers() {
    let origin = mirror();
    let pop = Pop::caching(
        &origin,
        "response = { remove = [\"server\", \"x-origin\"], set = { x-own = \"1\", x-frame-options = \"DENY\" } }",
    );
    for hit in [false, true] {
        let reply = pop.get("/a");
        assert_eq!(reply.hit(), hit);
        assert_eq!((reply.field("x-origin"), reply.field("x-own")), (None, Some("1")), "hit: {hit}");
        assert_ne!(reply.field("server"), Some("app"), "hit: {hit}");
        assert_eq!(reply.field("x-frame-options"), Some("DENY"));
    }
}

#[test]
fn cors() {
    let origin = mirror();
    let pop = Pop::caching(
        &origin,
        "methods = [\"GET\", \"HEAD\", \"OPTIONS\"]\nresponse = { cors = { origins = [\"https://app.example\", \"https://*.apps.example\"], \
         methods = [\"GET\", \"PUT\"], headers = [\"x-custom\"], expose = [\"x-origin\"], credentials = true, max_age = \"10m\" } }",
    );
    for allowed in ["https://app.example", "https://one.apps.example"] {
        let reply = pop.get_with("/a", &[("Origin", allowed)]);
        assert_eq!(reply.field("access-control-allow-origin"), Some(allowed), "from the same cached object");
        assert_eq!(reply.field("access-control-allow-credentials"), Some("true"));
        assert_eq!(reply.field("access-control-expose-headers"), Some("x-origin"));
        assert!(reply.all("vary").join(",").to_ascii_lowercase().contains("origin"));
    }
    for refused in
        ["https://evil.example", "http://app.example", "https://app.example.evil", "https://apps.example", "null"]
    {
        let reply = pop.get_with("/a", &[("Origin", refused)]);
        assert_eq!((reply.status, reply.field("access-control-allow-origin")), (200, None), "{refused}");
    }
    assert_eq!(origin.count(), 1);

    let ask = [
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-custom"),
    ];
    let preflight = pop.send("OPTIONS", "/a", &ask, b"");
    assert!(matches!(preflight.status, 200 | 204), "{}", preflight.status);
    assert_eq!(preflight.field("access-control-allow-origin"), Some("https://app.example"));
    assert!(preflight.field("access-control-allow-methods").unwrap().contains("PUT"));
    assert!(preflight.field("access-control-allow-headers").unwrap().to_ascii_lowercase().contains("x-custom"));
    assert_eq!(preflight.field("access-control-max-age"), Some("600"));
    assert_eq!(preflight.field("x-cache"), Some("Miss from rimward"), "no cache was asked");
}

fn with_errors() -> Origin {
    Origin::start(|x| match x.request.target.as_str() {
        "/errors/404.html" => {
            x.reply("200 OK", "Content-Type: text/html\r\nCache-Control: max-age=60\r\n", "<h1>lost</h1>")
        }
        "/fine" => x.reply("200 OK", "Cache-Control: max-age=60\r\n", "fine"),
        "/busy" => x.reply("503 Busy", "", "internal detail"),
        _ => x.reply("404 Not Found", "", "raw 404"),
    })
}

#[test]
fn error_pages() {
    let origin = with_errors();
    let mut setup = Setup::new(format!(
        "{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nerrors = [\
         {{ status = [404], page = \"/errors/404.html\", respond = 200, ttl = \"10m\" }}, \
         {{ status = [503], file = \"{{dir}}/busy.html\", ttl = \"0s\" }} ]\n",
        origin.config("o")
    ));
    std::fs::write(setup.dir().join("busy.html"), "<h1>later</h1>").unwrap();
    setup.pop = String::new();
    let pop = setup.start();
    let lost = pop.get("/nowhere");
    assert_eq!((lost.status, lost.text().as_str()), (200, "<h1>lost</h1>"));
    assert_eq!(lost.field("content-type"), Some("text/html"));
    let said = lost.field("cache-status").unwrap();
    assert!(said.contains("fwd-status=404"), "what the origin answered, not what stands in its place: {said}");
    let busy = pop.get("/busy");
    assert_eq!((busy.status, busy.text().as_str()), (503, "<h1>later</h1>"));
    assert_eq!(pop.get("/fine").text(), "fine");
    let asked = origin.count();
    assert_eq!(pop.get("/nowhere").status, 200);
    assert_eq!(origin.count(), asked, "the substituted answer is kept for its own TTL");
}

#[test]
fn an_error_page_that_fails_itself_does_not_loop() {
    let origin = Origin::start(|x| x.reply("404 Not Found", "Cache-Control: no-store\r\n", "raw"));
    let pop = Pop::caching(&origin, "errors = [{ status = [404], page = \"/errors/404.html\", ttl = \"0s\" }]");
    assert_eq!(pop.get("/nowhere").status, 404);
    assert!(origin.count() <= 2, "asked {} times", origin.count());
}

#[test]
fn root_object_and_index() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "root_object = \"home.html\"\nindex = \"index.html\"");
    for (path, want) in
        [("/", "/home.html"), ("/docs/", "/docs/index.html"), ("/docs", "/docs"), ("/?q=1", "/home.html?q=1")]
    {
        assert_eq!(pop.get(path).text(), want, "{path}");
    }
    let pop = Pop::caching(&origin, "root_object = \"home.html\"");
    assert_eq!(pop.get("/docs/").text(), "/docs/", "the root object is for the root only");
}

#[test]
fn prefixes() {
    let origin = mirror();
    let pop = Pop::caching(&origin, "strip_prefix = \"/public\"\nadd_prefix = \"/v1\"");
    for (path, want) in [("/public/a", "/v1/a"), ("/public", "/v1/"), ("/publicity", "/v1/publicity"), ("/b", "/v1/b")]
    {
        let got = pop.get(path).text();
        assert!(got == want || got.trim_end_matches('/') == want.trim_end_matches('/'), "{path}: {got}");
    }
}

#[test]
fn redirects() {
    let pop = Pop::start(
        "[[behavior]]\nmatch = \"/old/*\"\nredirect = { status = 308, to = \"https://new.example$uri\" }\n\
         [[behavior]]\nmatch = \"*\"\nredirect = { status = 302, to = \"$scheme://www.$host/landing?from=$path\" }\n",
    );
    let moved = pop.get("/old/a?b=c");
    assert_eq!((moved.status, moved.field("location")), (308, Some("https://new.example/old/a?b=c")));
    let landing = pop.get("/x");
    assert_eq!((landing.status, landing.field("location")), (302, Some("http://www.shop.example/landing?from=/x")));
}

#[test]
fn a_redirect_target_cannot_be_split_by_the_viewer() {
    let pop =
        Pop::start("[[behavior]]\nmatch = \"*\"\nredirect = { status = 302, to = \"https://new.example$uri\" }\n");
    let reply = pop.get("/a%0d%0aset-cookie:%20x=1");
    assert_eq!(reply.field("set-cookie"), None);
    assert_eq!(reply.field("location"), Some("https://new.example/a%0d%0aset-cookie:%20x=1"));
}
