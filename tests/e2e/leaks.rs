//! Leaks: ways around a rule, and into somebody else's answers.
//!
//! In: what an attacker can spell, forge, hide or have copied. Out: nothing that was not theirs. Never: what a rule means to who keeps
//! to it (`access`).

use serde_json::json;

use crate::harness::credentials::sha256;
use crate::harness::{Authority, H2, HOST, Origin, Pop, Raw, Setup, until};

const KEY: &str = "leaks-key-0123456789abcdef";

fn keys() -> String {
    format!("[[api_key]]\nname = \"acme\"\nsha256 = \"{}\"\n", sha256(KEY))
}

/// CloudFront Developer Guide, "Path pattern": the path is normalized before it is matched, and sent on as it came.
#[test]
fn a_guarded_path_is_guarded_however_it_is_spelled() {
    let guarded =
        |path: &str| format!("[[behavior]]\nmatch = \"{path}\"\norigin = \"o\"\naccess = \"api_key\"\ncache = false\n");
    let origin = Origin::counting("");
    let pop = Pop::start(format!(
        "{}{}{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n",
        origin.config("o"),
        keys(),
        [
            "/private/*",
            "/caf%C3%A9/*",
            "/my%20files/*",
            "/users/*/export",
            "/admin/keys",
            "/by/me%40example.com/*",
            "/*.pdf",
            "/a%2Ab"
        ]
        .map(guarded)
        .concat()
    ));
    for path in [
        "/private/a",
        "/%70rivate/a",
        "//private/a",
        "/./private/a",
        "/x/../private/a",
        "/x/%2e%2e/private/a",
        "/private%2fa",
        "/private%2Fa?x=1",
        "/x/..%2fprivate/a",
        "/%2fprivate/a",
        "/private%5ca",
        "/private;v=1/a",
        "/private;/a",
        "/x/..;/private/a",
        "/x/..;a=b/private/a",
        // Parameters are taken off before or after a slash in them is decoded.
        "/private;%2fx/a",
        "/private;%2f..%2fx/a",
        "/private;a%2f../a",
        "/caf%c3%a9/x",
        "//my%20files/x",
        "/my%20files%2fx",
        "/users/a%3Fb%2Fexport",
        // To many origins a slash at the end is nothing.
        "/admin/keys/",
        "//admin/keys/",
        "/by/me@example.com/x",
        "/by/me%40example%2ecom/x",
        "/a*b",
        // Some end a path where it is decoded to its end.
        "/a.pdf%3Fx",
        "/a.pdf%23",
        "/a.pdf%00",
        "/public/%0a",
        // Dot segments may be resolved, or not: nobody can tell what is asked for.
        "/x/../public",
        "/public/%2e%2e/x",
    ] {
        let status = pop.get(path).status;
        assert!(status == 403 || status == 400, "{path}: {status}");
    }
    assert_eq!(origin.count(), 0);
    let line = pop.log_line("/public/%2e%2e/x");
    assert_eq!(line["failure"], "invalid_request", "whoever looks for a way around is found: {line}");
    assert!(line["error"].as_str().unwrap().starts_with("the path has dot segments"), "{line}");
    for path in ["/public/a", "/a%20b", "/.well-known/x", "/a//b", "/films;v=1/a"] {
        assert_eq!(pop.get(path).status, 200, "{path}");
        assert!(origin.last().target.ends_with(path), "as it came: {:?}", origin.last().target);
    }
    let with_key = pop.get_with("/%70rivate/a", &[("X-Api-Key", KEY)]);
    assert_eq!((with_key.status, origin.last().target.as_str()), (200, "/%70rivate/a"));
}

/// A path that is guarded by one rule as it came, and by another one as an origin may read it.
#[test]
fn no_second_reading_of_a_path_is_let_in_by_a_weaker_rule() {
    let origin = Origin::counting("");
    let behavior = |path: &str, access: &str| {
        format!("[[behavior]]\nmatch = \"{path}\"\norigin = \"o\"\naccess = {access}\ncache = false\n")
    };
    let pop = Pop::start(format!(
        "{}{}[[address_list]]\nname = \"none\"\nnets = [\"192.0.2.0/24\"]\n{}{}{}{}{}",
        origin.config("o"),
        keys(),
        behavior("/slash", "{ address = \"none\" }"),
        behavior("/admin/*/export", "{ address = \"none\" }"),
        behavior("/admin/*/list", "\"api_key\""),
        behavior("/admin/*", "\"api_key\""),
        [
            behavior("/slash/*", "\"api_key\""),
            "[[behavior]]\nmatch = \"/open/*\"\norigin = \"o\"\ncache = false\n".to_owned(),
            behavior("/my%20files/*", "\"api_key\""),
            behavior("*", "{ address = \"none\" }")
        ]
        .concat()
    ));
    let status = |path: &str| pop.get_with(path, &[("X-Api-Key", KEY)]).status;
    for (path, want) in [
        ("/admin/7/export", 403),
        ("/admin/;7/export", 400),
        ("/admin/7%2fexport", 400),
        ("/admin/a;b/c", 200),
        // However a pattern is spelled, its own paths are no other rule's.
        ("/my%20files/x", 200),
        ("/my%20files/caf%c3%a9", 200),
        // Two behaviors, one rule.
        ("/admin/7%2flist", 200),
        // A slash at the end makes nothing of what comes later in the configuration.
        ("/admin/", 200),
        ("/open/", 200),
        ("/open/x/", 200),
        ("/slash/x/", 200),
        ("/slash/", 400),
    ] {
        assert_eq!(status(path), want, "{path}");
    }
    assert_eq!(origin.count(), 8);
}

/// A limit counts what an origin may take for its paths, whichever behavior serves it.
#[test]
fn no_second_reading_of_a_path_escapes_its_limit() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let behavior = |path: &str, rest: &str| format!("[[behavior]]\nmatch = \"{path}\"\norigin = \"o\"\n{rest}\n");
    let limit = |burst: u32| format!("limit = {{ per = \"address\", rate = \"1/h\", burst = {burst} }}");
    for cache in ["", "cache = false\n"] {
        let pop = Pop::start(format!(
            "{}{}{}{}",
            origin.config("o"),
            behavior("/login", &format!("{cache}{}", limit(2))),
            behavior("/api/slow", &format!("{cache}{}", limit(1))),
            [behavior("/api/*", &format!("{cache}{}", limit(100))), behavior("*", cache)].concat(),
        ));
        let mut h2 = H2::plain(pop.http);
        for (path, want) in [
            ("//login", 200),
            ("/log%69n", 200),
            ("/login", 429),
            ("//login", 429),
            ("/%2flogin", 429),
            ("/login/", 429),
            ("/login;x", 429),
            ("/login%00", 400),
            ("/loginx", 200),
            ("/api//slow", 200),
            ("/api/slow", 429),
            ("/api/;/slow", 429),
            ("/api/fast", 200),
        ] {
            assert_eq!(pop.get(path).status, want, "{path} {cache}");
        }
        for (path, want) in [("/login/", 429), ("//login", 429), ("/api/;/slow", 429), ("/api/fast/", 200)] {
            assert_eq!(h2.get(path).status, want, "{path} {cache}");
        }
    }
}

/// What was judged is what the origin gets: no other method in a field of the viewer's, in whatever lane; the operator's stays.
#[test]
fn a_method_that_no_rule_has_judged_does_not_go_on() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    for cache in [true, false] {
        let pop = Pop::start(format!(
            "[[origin]]\nname = \"o\"\nurl = \"{}\"\nheaders = {{ x-method-override = \"PATCH\" }}\n{}[[behavior]]\n\
             match = \"*\"\norigin = \"o\"\naccess = \"api_key\"\nmethods = \"all\"\ncache = {cache}\n\
             forward = {{ headers = \"all\" }}\n",
            origin.url(),
            keys()
        ));
        for (method, path) in [("GET", "/a"), ("POST", "/b"), ("DELETE", "/c")] {
            let fields = [("X-Api-Key", KEY), ("X-HTTP-Method-Override", "PUT"), ("X_Method_Override", "PUT")];
            assert_eq!(pop.send(method, path, &fields, b"").status, 200, "{method} {cache}");
            let seen = origin.last();
            assert_eq!(seen.method, method);
            let overrides: Vec<_> = seen.fields.iter().filter(|(name, _)| name.contains("override")).collect();
            assert_eq!(overrides, [&("x-method-override".to_owned(), "PATCH".to_owned())], "{method} {cache}");
        }
    }
}

#[test]
fn a_forged_field_over_http_2_changes_neither_host_nor_key() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = Pop::start(format!(
        "[[origin]]\nname = \"o\"\nurl = \"{}\"\nhost = \"viewer\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n",
        origin.url()
    ));
    let mut h2 = H2::plain(pop.http);
    let forged = h2.send("GET", "/a", &[("cloudfront-viewer-country", "XX")], b"", &[]);
    assert_eq!(forged.status, 200);
    let seen = origin.last();
    let host = seen.field("host").unwrap_or_default().to_owned();
    assert!(!host.is_empty(), "{seen:?}");
    assert_eq!(seen.field("cloudfront-viewer-country"), None);
    pop.purge(&json!({"host": [host.split(':').next().unwrap()]}));
    let again = H2::plain(pop.http).get("/a");
    assert_ne!(again.body, forged.body, "the purge found it");
}

#[test]
fn who_asks_can_be_neither_forged_nor_hidden() {
    let origin = Origin::counting("");
    let pop = Pop::start(format!(
        "{}{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = \"api_key\"\ncache = false\nidentity = {{ header = \"x-user\" }}\n",
        origin.config("o"),
        keys()
    ));
    let reply = pop.get_with("/a", &[("X-Api-Key", KEY), ("X_User", "root"), ("x-user", "root")]);
    assert_eq!(reply.status, 200);
    let seen = origin.last();
    let named: Vec<_> =
        seen.fields.iter().filter(|(name, _)| name.replace('_', "-").eq_ignore_ascii_case("x-user")).collect();
    assert_eq!(named, [&("x-user".to_owned(), "acme".to_owned())], "{seen:?}");
    assert_eq!(pop.get_with("/a", &[("X-Api-Key", KEY), ("Connection", "x-user")]).status, 400);
}

/// An origin that several behaviors share takes the field for the edge's word, whichever of them sent the request.
#[test]
fn no_behavior_lets_a_viewer_say_who_asks() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\nVary: X-User\r\n");
    let behavior = |path: &str, lines: &str| format!("[[behavior]]\nmatch = \"{path}\"\norigin = \"o\"\n{lines}\n");
    let setup = Setup::new(format!(
        "{}{}[[function]]\nname = \"echo\"\nfile = \"echo.js\"\n{}{}{}{}{}",
        origin.config("o"),
        keys(),
        behavior(
            "/told/*",
            "access = \"api_key\"\nidentity = { header = \"x-user\", claims = { x-tenant = \"tenant\" } }",
        ),
        behavior("/passed/*", "cache = false"),
        behavior("/keyed/*", "cache = { key.headers = [\"x-user\"] }"),
        behavior("/hooked/*", "hooks = { viewer_request = \"echo\" }"),
        behavior("*", "methods = \"all\"\nforward = { headers = \"all\" }"),
    ));
    let script = "function handler(event) { const who = event.request.headers['x-user']; \
                  event.request.headers['x-seen'] = { value: who ? who.value : 'nobody' }; return event.request; }";
    std::fs::write(setup.dir().join("echo.js"), script).unwrap();
    let pop = setup.start();
    let forged = [("X-User", "root"), ("X_User", "root"), ("X-Tenant", "t1"), ("x_tenant", "t1")];
    let unsaid = |what: &str| {
        for seen in origin.requests() {
            let said: Vec<_> = seen
                .fields
                .iter()
                .filter(|(name, _)| {
                    ["x-user", "x-tenant"].contains(&name.replace('_', "-").to_ascii_lowercase().as_str())
                })
                .collect();
            assert!(said.is_empty(), "{what}: {seen:?}");
        }
    };
    for path in ["/passed/a", "/keyed/a", "/hooked/a", "/a"] {
        let first = pop.get_with(path, &forged);
        assert_eq!(first.status, 200, "{path}: {}", first.text());
        let honest = pop.get(path);
        let again = pop.get_with(path, &forged);
        assert_eq!(honest.hit() && again.hit(), !path.starts_with("/passed"), "{path}: one object for all");
        unsaid(path);
    }
    assert!(origin.requests().iter().any(|seen| seen.field("x-seen") == Some("nobody")), "nor to a function");
    assert_eq!(pop.send("POST", "/a", &forged, b"x").status, 200);
    let fields = [("x-user", "root"), ("x_user", "root"), ("x-tenant", "t1")];
    for path in ["/passed/b", "/keyed/b", "/hooked/b", "/b"] {
        assert_eq!(H2::plain(pop.http).send("GET", path, &fields, b"", &[]).status, 200, "{path}");
    }
    unsaid("other methods, HTTP/2");
    assert_eq!(pop.get_with("/told/a", &[("X-Api-Key", KEY), ("X-User", "root")]).status, 200);
    assert_eq!(origin.last().field("x-user"), Some("acme"), "the edge itself says it");
}

#[test]
fn an_error_page_is_asked_for_by_nobody() {
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/page" => x.reply("200 OK", "", "sorry"),
        _ => x.reply("404 Not Found", "", "gone"),
    });
    let pop = Pop::start(format!(
        "{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nidentity = {{ header = \"x-user\" }}\n\
         errors = [{{ status = [404], page = \"/page\" }}]\n",
        origin.config("o")
    ));
    let reply = pop.get_with("/a", &[("X-User", "root")]);
    assert_eq!((reply.status, reply.text().as_str()), (404, "sorry"));
    for seen in origin.requests() {
        assert_eq!(seen.field("x-user"), None, "{seen:?}");
    }
}

/// What the origin is told of who asks is part of what its answer may depend on.
#[test]
fn answers_are_apart_by_what_the_origin_is_told() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let setup = Setup::new(format!(
        "{}[[function]]\nname = \"auth\"\nfile = \"auth.js\"\n[[authorizer]]\nname = \"a\"\nfunction = \"auth\"\n\
         kind = \"request\"\nidentity = []\nttl = \"0s\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
         access = {{ authorizer = \"a\" }}\nidentity = {{ claims = {{ x-tenant = \"tenant\" }} }}\n",
        origin.config("o")
    ));
    let script = "exports.handler = async (event) => ({ principalId: 'user', context: { tenant: event.headers['X-Who'] }, \
                  policyDocument: { Version: '2012-10-17', Statement: [{ Action: '*', Effect: 'Allow', Resource: '*' }] } });";
    std::fs::write(setup.dir().join("auth.js"), script).unwrap();
    let pop = setup.start();
    let get = |who: &str| pop.get_with("/a", &[("X-Who", who)]);
    let alice = get("alice");
    assert_eq!(alice.status, 200, "{}", alice.text());
    assert_ne!(get("bob").text(), alice.text());
    assert_eq!(get("alice").text(), alice.text());
    let tenants: Vec<_> = origin.requests().iter().map(|seen| seen.field("x-tenant").map(str::to_owned)).collect();
    assert_eq!(tenants, [Some("alice".to_owned()), Some("bob".to_owned())]);
}

#[test]
fn certificates_without_a_subject_are_told_apart() {
    let authority = Authority::new();
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let mut setup = Setup::new(format!(
        "{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = \"certificate\"\n",
        origin.config("o")
    ));
    authority.issue(&[HOST]).files(setup.dir(), "server");
    authority.file(setup.dir());
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = { certificates = [{ cert = \
                       \"{dir}/server.pem\", key = \"{dir}/server.key\" }], client_auth = \"required\", client_ca = \
                       \"{dir}/authority.pem\" }\n"
        .to_owned();
    let pop = setup.start();
    let get = |name: &str| {
        let pair = authority.issue_without_subject(&[name]);
        Raw::secure(pop.extra[0], HOST, authority.client(&["http/1.1"], Some(&pair))).unwrap().get("/a")
    };
    let alice = get("alice.example");
    assert_ne!(get("bob.example").text(), alice.text());
    assert_eq!(get("alice.example").text(), alice.text());
}

/// Two authorities may vouch for one name, each for somebody else; here they have one name themselves.
#[test]
fn one_name_from_two_authorities_is_two_people() {
    let (staff, partners) = (Authority::new(), Authority::new());
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let mut setup = Setup::new(format!(
        "{}[[behavior]]\nmatch = \"/staff/*\"\norigin = \"o\"\naccess = {{ certificate_from = \"staff.pem\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = {{ certificate_name = [\"alice.example\"] }}\n",
        origin.config("o")
    ));
    staff.issue(&[HOST]).files(setup.dir(), "server");
    let read = |authority: &Authority| std::fs::read_to_string(authority.file(setup.dir())).unwrap();
    let (own, others) = (read(&staff), read(&partners));
    std::fs::write(setup.dir().join("staff.pem"), &own).unwrap();
    std::fs::write(setup.dir().join("both.pem"), format!("{others}{own}")).unwrap();
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = { certificates = [{ cert = \
                       \"{dir}/server.pem\", key = \"{dir}/server.key\" }], client_auth = \"required\", client_ca = \
                       \"{dir}/both.pem\" }\n"
        .to_owned();
    let pop = setup.start();
    let get = |authority: &Authority, path: &str| {
        let pair = authority.issue(&["alice.example"]);
        Raw::secure(pop.extra[0], HOST, staff.client(&["http/1.1"], Some(&pair))).unwrap().get(path)
    };
    let alice = get(&staff, "/a");
    assert_eq!(alice.status, 200, "{}", alice.text());
    let other = get(&partners, "/a");
    assert!(other.status == 200 && other.text() != alice.text(), "{:?}", other.cache());
    assert_eq!(get(&staff, "/a").text(), alice.text(), "a renewed certificate is the same person's");
    assert_eq!((get(&staff, "/staff/a").status, get(&partners, "/staff/a").status), (200, 403));
}

/// A function of a public behavior may ask for another path; what a rule guards there is not in its reach.
#[test]
fn what_a_rule_guards_is_no_hit_for_another_behavior() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let setup = Setup::new(format!(
        "{}{}[[function]]\nname = \"f\"\nfile = \"f.js\"\n[[behavior]]\nmatch = \"/public/*\"\norigin = \"o\"\n\
         hooks = {{ viewer_request = \"f\" }}\n[[behavior]]\nmatch = \"/private/*\"\norigin = \"o\"\naccess = \"api_key\"\n\
         cache = {{ shared = true }}\n",
        origin.config("o"),
        keys()
    ));
    let script = "function handler(event) { event.request.uri = event.request.uri.replace('/public', '/private'); \
                  return event.request; }";
    std::fs::write(setup.dir().join("f.js"), script).unwrap();
    let pop = setup.start();
    let guarded = pop.get_with("/private/a", &[("X-Api-Key", KEY)]);
    assert_eq!(guarded.status, 200);
    let other = pop.get("/public/a");
    assert!(!other.hit() && other.text() != guarded.text(), "{:?}", other.cache());
}

#[test]
fn a_reload_that_is_refused_puts_no_key_in_force() {
    let origin = Origin::counting("");
    let rest = |keys: &str, listener: &str| {
        format!(
            "{}{keys}{listener}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = \"api_key\"\ncache = false\n",
            origin.config("o")
        )
    };
    let pop = Pop::start(rest("", ""));
    let broken = "[[key_group]]\nname = \"g\"\n[[key_group.key]]\nid = \"K\"\nfile = \"missing.pem\"\n";
    assert!(pop.reload(&rest(&keys(), broken)).status >= 400);
    assert_eq!(pop.get_with("/a", &[("X-Api-Key", KEY)]).status, 403);
    assert_eq!(pop.reload(&rest(&keys(), "")).status, 200);
    until("the key", || (pop.get_with("/a", &[("X-Api-Key", KEY)]).status == 200).then_some(()));
}

#[test]
fn none_does_not_let_in_what_cannot_be_known() {
    let origin = Origin::counting("");
    let setup = Setup::new(format!(
        "{}[[function]]\nname = \"auth\"\nfile = \"auth.js\"\n[[authorizer]]\nname = \"blocked\"\nfunction = \"auth\"\n\
         kind = \"request\"\nidentity = []\nttl = \"0s\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
         access = {{ none = [{{ authorizer = \"blocked\" }}] }}\n",
        origin.config("o")
    ));
    std::fs::write(setup.dir().join("auth.js"), "exports.handler = async () => { throw new Error('broken'); };")
        .unwrap();
    let pop = setup.start();
    assert_eq!(pop.get("/a").status, 500);
    assert_eq!(origin.count(), 0);
}

/// What a function makes of a body is not what was signed: the body is verified before the function sees it.
#[test]
fn a_signed_body_is_verified_before_functions_see_it() {
    use crate::harness::credentials::{Aws, borrowed};
    let origin = Origin::counting("");
    let setup = Setup::new(format!(
        "{}[[function]]\nname = \"f\"\nfile = \"f.js\"\n[[sigv4]]\nname = \"s\"\n[[sigv4.key]]\nid = \"AKIDEXAMPLE\"\n\
         secret = \"file:{{dir}}/secret\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\ncache = false\n\
         access = {{ sigv4 = \"s\" }}\nhooks = {{ viewer_request = {{ function = \"f\", include_body = true }} }}\n",
        origin.config("o")
    ));
    std::fs::write(setup.dir().join("secret"), "leaks-secret").unwrap();
    let script = "exports.handler = async (event) => { const request = event.Records[0].cf.request; \
                  const body = Buffer.from(request.body.data, 'base64').toString(); \
                  request.body = { action: 'replace', encoding: 'text', data: 'fn:' + body.slice(0, 5) }; return request; };";
    std::fs::write(setup.dir().join("f.js"), script).unwrap();
    let pop = setup.start();
    let large = [vec![b'A'; 200_000], vec![b'Z'; 100_000]].concat();
    for tells_hash in [false, true] {
        let at = std::time::SystemTime::now();
        let aws = Aws {
            id: "AKIDEXAMPLE",
            secret: "leaks-secret",
            service: "execute-api",
            region: "eu-central-1",
            tells_hash,
            at,
        };
        for (body, seen) in [(&b"hello"[..], "fn:hello"), (&large, "fn:AAAAA")] {
            let fields = aws.fields("POST", "/a", body);
            let before = origin.count();
            let mut altered = body.to_vec();
            altered[0] ^= 1;
            let refused = pop.send("POST", "/a", &borrowed(&fields), &altered);
            assert_eq!((refused.status, refused.field("x-amzn-errortype")), (403, Some("InvalidSignatureException")));
            assert_eq!(origin.count(), before, "neither function nor origin saw it");
            let reply = pop.send("POST", "/a", &borrowed(&fields), body);
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(String::from_utf8_lossy(&origin.last().body), seen);
            assert_eq!(origin.last().field("authorization"), None, "the signature is used up");
        }
    }
}
