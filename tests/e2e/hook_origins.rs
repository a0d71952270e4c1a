//! Hook origins: what functions see of an origin and of bodies, and what becomes of what they say of them.
//!
//! In: Lambda@Edge functions that read and change `request.origin`, chains of which some see the body. Out: what origins get. Never: a
//! secret that is not for that origin.

use crate::harness::hooked::pop;
use crate::harness::origin::Seen;
use crate::harness::wat::Flat;
use crate::harness::{Origin, Pop, Setup};

const SECRET: &str = "s3cr3t-of-the-first";

/// Lambda@Edge Developer Guide, "Event structure": `customHeaders` are the origin's own; functions keep their settings there.
const HANDLER: &str = r"
exports.handler = async (event) => {
  const request = event.Records[0].cf.request;
  const custom = request.origin.custom;
  const own = custom.customHeaders;
  const seen = Object.keys(own).sort().map((name) => `${name}=${own[name][0].value}`).join();
  request.headers['x-seen'] = [{ key: 'X-Seen', value: seen }];
  if (request.uri === '/more') {
    own['x-more'] = [{ key: 'X-More', value: '1' }];
  } else if (request.uri === '/none') {
    custom.customHeaders = {};
  } else if (request.uri === '/moved') {
    custom.domainName = 'localhost';
    custom.port = PORT;
  } else if (request.uri === '/anew') {
    request.origin = { custom: {
      domainName: 'localhost', port: PORT, protocol: 'http', path: '', customHeaders: {},
      keepaliveTimeout: 5, readTimeout: 5, sslProtocols: ['TLSv1.2'],
    } };
  } else if (request.uri === '/unsaid') {
    request.origin = { custom: {
      domainName: 'localhost', port: PORT, protocol: 'http', path: '',
      keepaliveTimeout: 5, readTimeout: 5, sslProtocols: ['TLSv1.2'],
    } };
  }
  return request;
};
";

fn with_handler(first: &Origin, second: &Origin) -> Pop {
    let mut setup = Setup::new("");
    let handler = HANDLER.replace("PORT", &second.address.port().to_string());
    std::fs::write(setup.dir().join("f.js"), handler).unwrap();
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    setup.rest = format!(
        "{}headers = {{ x-plain = \"setting\", x-secret = \"file:{{dir}}/secret\" }}\n\
         [[origin]]\nname = \"local\"\nurl = \"http://localhost:{}\"\n\
         [[function]]\nname = \"f\"\nfile = \"f.js\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ origin_request = \"f\" }}\n",
        first.config("o"),
        second.address.port()
    );
    setup.start()
}

fn own(seen: &Seen) -> [Option<&str>; 3] {
    ["x-plain", "x-secret", "x-more"].map(|name| seen.field(name))
}

#[test]
fn an_origins_own_headers_are_shown_but_for_secrets_and_go_where_the_function_says() {
    let (first, second) = (Origin::fixed("", "first"), Origin::fixed("", "second"));
    let pop = with_handler(&first, &second);
    let (plain, secret) = (Some("setting"), Some(SECRET));
    for (path, at, want) in [
        ("/as-it-is", "first", [plain, secret, None]),
        ("/more", "first", [plain, secret, Some("1")]),
        ("/none", "first", [None, None, None]),
        // What it passes on of the event, it means for the other host.
        ("/moved", "second", [plain, secret, None]),
        ("/anew", "second", [None, None, None]),
        ("/unsaid", "second", [None, None, None]),
    ] {
        let reply = pop.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (200, at), "{path}");
        let seen = if at == "first" { first.last() } else { second.last() };
        assert_eq!(own(&seen), want, "{path}");
        assert_eq!(seen.field("x-seen"), Some("x-plain=setting,x-secret="), "{path}: a secret's name alone");
    }
}

/// At viewer-request, where no origin is shown yet, the origin that a function describes has the headers that it names, and no others.
#[test]
fn an_origin_described_at_viewer_request_gets_no_other_ones_secrets() {
    let (first, second) = (Origin::fixed("", "first"), Origin::fixed("", "second"));
    let port = second.address.port();
    let handler = format!(
        "exports.handler = async (event) => {{\n\
           const request = event.Records[0].cf.request;\n\
           request.origin = {{ custom: {{ domainName: 'localhost', port: {port}, protocol: 'http', path: '', customHeaders: {{}},\n\
             keepaliveTimeout: 5, readTimeout: 5, sslProtocols: ['TLSv1.2'] }} }};\n\
           return request;\n\
         }};\n"
    );
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("f.js"), handler).unwrap();
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    setup.rest = format!(
        "{}headers = {{ x-secret = \"file:{{dir}}/secret\" }}\n[[origin]]\nname = \"local\"\nurl = \"http://localhost:{port}\"\n\
         [[function]]\nname = \"f\"\nfile = \"f.js\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ viewer_request = \"f\" }}\n",
        first.config("o")
    );
    let pop = setup.start();
    assert_eq!(pop.get("/a").text(), "second");
    assert_eq!(own(&second.last()), [None, None, None]);
}

/// The choice of a group was the function's, and so is the request that its members get.
#[test]
fn what_a_function_made_of_the_request_goes_to_every_member_of_the_group_it_chose() {
    let (first, second) = (Origin::start(|x| x.reply("503 Busy", "", "no")), Origin::fixed("", "second"));
    let mut setup = Setup::new("");
    let edits = Flat::new().uri("/edited").set("x-edited", "1").choose("g").wat();
    std::fs::write(setup.dir().join("f.wat"), edits).unwrap();
    setup.rest = format!(
        "{}{}[[origin_group]]\nname = \"g\"\norigins = [\"a\", \"b\"]\nfailover = [503]\n\
         [[origin]]\nname = \"o\"\nurl = \"http://127.0.0.1:1\"\n[[function]]\nname = \"f\"\nfile = \"f.wat\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ origin_request = \"f\" }}\n",
        first.config("a"),
        second.config("b")
    );
    let pop = setup.start();
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str()), (200, "second"));
    for origin in [&first, &second] {
        let seen = origin.last();
        assert_eq!((seen.target.as_str(), seen.field("x-edited")), ("/edited", Some("1")));
    }
}

/// CloudFront Developer Guide, "Helper methods for origin modification": each member of a group has its own overrides.
#[test]
fn members_of_a_group_that_a_function_made_differ_as_it_says() {
    let (first, second) = (Origin::start(|x| x.reply("503 Busy", "", "no")), Origin::fixed("", "second"));
    let mut setup = Setup::new("");
    let function = "import cf from 'cloudfront';\nfunction handler(event) {\n  cf.createRequestOriginGroup({ originIds: [\n    \
                    { originId: 'o', originOverrides: { originPath: '/one', customHeaders: { 'x-of': 'one' } } },\n    \
                    event.request.uri === '/bare' ? 'p' : { originId: 'p', originOverrides: { originPath: '/two', hostHeader: 'two.example' } },\n  \
                    ], failoverCriteria: { statusCodes: [503] } });\n  return event.request;\n}\n";
    std::fs::write(setup.dir().join("f.js"), function).unwrap();
    setup.rest = format!(
        "{}{}[[function]]\nname = \"f\"\nfile = \"f.js\"\nflavor = \"cloudfront-2.0\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\nhooks = {{ viewer_request = \"f\" }}\n",
        first.config("o"),
        second.config("p"),
    );
    let pop = setup.start();
    let own = second.address.to_string();
    for (path, one, two, host) in [("/a", "/one/a", "/two/a", "two.example"), ("/bare", "/one/bare", "/bare", &own)] {
        assert_eq!(pop.get(path).text(), "second");
        let (first, second) = (first.last(), second.last());
        assert_eq!((first.target.as_str(), first.field("x-of")), (one, Some("one")));
        assert_eq!((second.target.as_str(), second.field("x-of"), second.field("host")), (two, None, Some(host)));
    }
}

/// Viewer-response functions do not see what the origin answered with 400 or above (Developer Guide, "Restrictions on edge functions"),
/// whatever origin-response made of it, and however often it is asked for.
#[test]
fn an_answer_that_hides_an_error_is_shown_to_no_viewer_response_function() {
    let origin = Origin::start(|x| x.reply("404 Not Found", "", "none"));
    let functions = [
        ("mask", Flat::new().set("cache-control", "max-age=60").status(200).wat()),
        ("mark", Flat::new().set("x-vres", "1").wat()),
    ];
    let hooks = "origin_response = \"mask\"\nviewer_response = \"mark\"";
    let pop = pop(&origin, &functions, "", hooks);
    // A miss, then hits of the fast lane and of the full path.
    for (hit, fields) in [(false, &[][..]), (true, &[]), (true, &[("Range", "bytes=0-3")])] {
        let reply = pop.get_with("/a", fields);
        let got = (reply.status / 100, reply.text(), reply.hit(), reply.field("x-vres"));
        assert_eq!(got, (2, "none".to_owned(), hit, None), "{fields:?}");
    }
    assert_eq!(origin.count(), 1);
}

/// The same rule from its other side: what a function answers, or makes of an origin's answer, is shown to them whatever its status.
#[test]
fn an_error_that_a_function_wrote_is_shown_to_viewer_response_functions() {
    let stored = "max-age=60";
    for (event, text) in [
        ("origin_request", Flat::new().respond(403, &[("cache-control", stored)], "none").wat()),
        ("origin_response", Flat::new().set("cache-control", stored).status(403).body("none").wat()),
        ("origin_response", Flat::new().set("cache-control", stored).status(403).wat()),
    ] {
        let origin = Origin::fixed("", "none");
        let functions = [("write", text), ("mark", Flat::new().set("x-vres", "1").wat())];
        let hooks = format!("{event} = \"write\"\nviewer_response = \"mark\"");
        let pop = pop(&origin, &functions, "", &hooks);
        for (hit, fields) in [(false, &[][..]), (true, &[]), (true, &[("Range", "bytes=0-3")])] {
            let reply = pop.get_with("/a", fields);
            let got = (reply.status, reply.text(), reply.hit(), reply.field("x-vres"));
            assert_eq!(got, (403, "none".to_owned(), hit, Some("1")), "{event} {fields:?}");
        }
    }
}

/// What the edge answers by itself no function sees: a page in an error's place, a range that is not there.
#[test]
fn an_error_of_the_edges_own_is_shown_to_no_viewer_response_function() {
    let mark = || [("mark", Flat::new().set("x-vres", "1").wat())];
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/page" => x.reply("200 OK", "Cache-Control: max-age=60\r\n", "page"),
        "/gone" => x.reset(),
        _ => x.reply("404 Not Found", "", "none"),
    });
    let errors = "errors = [{ status = [404, 502], page = \"/page\", respond = 200, ttl = \"60s\" }]";
    let pop = pop(&origin, &mark(), errors, "viewer_response = \"mark\"");
    for path in ["/missing", "/gone"] {
        for (hit, fields) in [(false, &[][..]), (true, &[]), (true, &[("Range", "bytes=0-3")])] {
            let reply = pop.get_with(path, fields);
            let got = (reply.status / 100, reply.text(), reply.hit(), reply.field("x-vres"));
            assert_eq!(got, (2, "page".to_owned(), hit, None), "{path} {fields:?}");
        }
    }
    let plain = pop.get("/page");
    assert_eq!((plain.status, plain.field("x-vres")), (200, Some("1")), "the page itself is an answer like any");

    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "0123456789");
    let pop = crate::harness::hooked::pop(&origin, &mark(), "", "viewer_response = \"mark\"");
    for hit in [false, true] {
        let reply = pop.get_with("/a", &[("Range", "bytes=50-60")]);
        assert_eq!((reply.status, reply.field("x-vres")), (416, None), "hit: {hit}");
    }
    assert_eq!(pop.get("/a").field("x-vres"), Some("1"));
}
