//! Tests of the whole way from text to `Config`: each rule broken once, and the examples.

use std::path::Path;

use http::{HeaderName, Method, StatusCode};

use super::*;
use crate::config::compiled::{Action, ForwardHeaders, HostHeader, LogTarget, OriginKind, Page, Select, Upstream};

const ORIGIN: &str = "[[origin]]\nname = 'o'\nurl = 'http://h'\n";

fn good(text: &str) -> Config {
    parse(text, "t.toml", Path::new("/base")).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// "line:column message" of every finding.
fn bad(text: &str) -> Vec<String> {
    let errors = parse(text, "t.toml", Path::new("/base")).err().unwrap_or_else(|| panic!("taken: {text}"));
    let one = |error: &ConfigError| match error {
        ConfigError::Invalid(d) => format!("{}:{} {}", d.line, d.column, d.message),
        other => other.to_string(),
    };
    errors.iter().map(one).collect()
}

/// A behavior with the given keys, its findings only.
fn bad_behavior(keys: &str) -> Vec<String> {
    bad(&format!("{ORIGIN}[[behavior]]\nmatch = '*'\n{keys}"))
}

#[test]
fn the_defaults_are_cloudfronts_and_safe() {
    let config = good(ORIGIN);
    assert_eq!(config.listeners.len(), 1);
    assert!(config.listeners[0].address.ip().is_loopback() && config.listeners[0].h2);
    assert_eq!(config.admin.as_ref().map(|a| a.address.to_string()).as_deref(), Some("127.0.0.1:9901"));
    assert_eq!(config.store.memory, 256 << 20);
    assert_eq!(config.pop.state_dir, Path::new("/base/state"));
    assert_eq!(config.observe.access_log.as_ref().map(|log| &log.to), Some(&LogTarget::Stdout));
    assert_eq!(config.behaviors.len(), 1);
    let behavior = &config.behaviors[0];
    assert_eq!((behavior.name.as_str(), behavior.methods.as_slice()), ("*", [Method::GET, Method::HEAD].as_slice()));
    assert!(matches!(behavior.action, Action::Forward(Upstream::Origin(0))));
    let cache = &behavior.cache;
    let ttls = [cache.min_ttl, cache.default_ttl, cache.max_ttl, cache.error_ttl].map(|ttl| ttl.as_secs());
    assert_eq!((cache.enabled, ttls), (true, [0, 86_400, 31_536_000, 10]));
    assert_eq!((&cache.key.cookies, &cache.key.query), (&Select::None, &Select::All));
    assert_eq!(behavior.request.headers, ForwardHeaders::Default);
    assert_eq!(behavior.request.body_size, config.limits.body_size);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn what_is_written_is_what_runs() {
    let config = good(
        r#"
        [[origin]]
        name = "a"
        targets = ["https://A.example/base", { url = "https://[::1]:8443/base/", weight = 3 }]
        host = "fixed.example:81"
        headers = { X-Key = "plain" }
        [[origin]]
        name = "b"
        generated = { status = 404, body = "none" }
        [[origin_group]]
        name = "g"
        origins = ["b", "a"]
        failover = ["502-504", 404]
        [[behavior]]
        match = "Shop.Example/api/*"
        origin = "g"
        cache = { ttl = "30s", key.query = ["page"], key.headers = ["Accept-Language"], stale_if_error = "1h" }
        forward = { headers = ["Referer"], cookies = { except = ["track"] } }
        response = { security = "managed", set = { x-frame-options = "DENY" } }
        errors = [{ status = ["500-501"], respond = 200, page = "/sorry", ttl = "5s" }]
        strip_prefix = "/api/"
        [[behavior]]
        match = "*"
        origin = "a"
        cache = false
        "#,
    );
    let OriginKind::Http(http) = &config.origins[0].kind else { panic!("{:?}", config.origins[0].kind) };
    let targets: Vec<_> = http.targets.iter().map(|t| (t.host.as_str(), t.port, t.tls, t.weight)).collect();
    assert_eq!(targets, [("a.example", 443, true, 1), ("::1", 8443, true, 3)]);
    assert_eq!(config.origins[0].path, "/base");
    assert_eq!(http.host, HostHeader::Fixed("fixed.example:81".parse().unwrap()));
    assert_eq!(config.origins[0].headers[0].1.expose(), "plain");
    let OriginKind::Generated(generated) = &config.origins[1].kind else { panic!() };
    assert_eq!((generated.status, generated.body.as_ref()), (StatusCode::NOT_FOUND, b"none".as_slice()));
    assert_eq!(config.groups[0].members, [1, 0]);
    assert_eq!(config.groups[0].failover.iter().map(StatusCode::as_u16).collect::<Vec<_>>(), [502, 503, 504, 404]);

    let api = &config.behaviors[0];
    assert_eq!((api.pattern.host.as_deref(), api.pattern.path.as_str()), (Some("shop.example"), "/api/*"));
    assert!(matches!(api.action, Action::Forward(Upstream::Group(0))));
    assert_eq!(api.cache.key.query, Select::Only(vec!["page".into()]));
    assert_eq!(api.cache.key.headers, [HeaderName::from_static("accept-language")]);
    assert_eq!(api.request.headers, ForwardHeaders::Only(vec![HeaderName::from_static("referer")]));
    assert_eq!(api.request.cookies, Select::AllExcept(vec!["track".into()]));
    let frame = api.response.set.iter().rfind(|set| set.name == "x-frame-options").unwrap();
    assert_eq!((frame.value.to_str().unwrap(), frame.over), ("DENY", true), "what is written beats the preset");
    assert!(matches!(&api.errors[0].page, Page::Path(path) if path == "/sorry"));
    assert_eq!(api.rewrite.strip_prefix.as_deref(), Some("/api"));

    let rest = &config.behaviors[1];
    assert!(!rest.cache.enabled);
    assert_eq!((&rest.request.headers, &rest.request.cookies), (&ForwardHeaders::All, &Select::All));
}

/// What the key leaves out may not reach the origin.
#[test]
fn hosts_share_no_answers_of_an_origin_that_is_told_the_host() {
    let text = |to: &str, host: &str, cache: &str| {
        format!(
            "[[origin]]\nname = 'a'\nurl = 'http://h'\n[[origin]]\nname = 'o'\nurl = 'http://h'\nhost = '{host}'\n\
             [[origin_group]]\nname = 'g'\norigins = ['a', 'o']\n[[behavior]]\nmatch = '*'\norigin = '{to}'\ncache = {cache}\n"
        )
    };
    let shared = "{ key.ignore_host = true }";
    let message = "'*' keeps one answer for all hosts, and origin 'o' is told the viewer's";
    for to in ["o", "g"] {
        assert_eq!(bad(&text(to, "viewer", shared)), [format!("14:29 {message}")], "{to}");
        good(&text(to, "origin", shared));
        good(&text(to, "fixed.example", shared));
        good(&text(to, "viewer", "{ key.sort_query = true }"));
    }
    good(&text("a", "viewer", shared));
}

#[test]
fn everything_wrong_is_told_at_its_place() {
    let got = bad(
        "[pop]\ncode = 'X'\n[[origin]]\nname = 'todo'\nurl = 'ftp://h'\n[[behavior]]\nmatch = '*'\norigin = 'todoo'\n",
    );
    let want = [
        "2:8 'X' is no PoP code",
        "5:7 'ftp://h' is no origin URL: the scheme is http or https",
        "8:10 unknown origin 'todoo'",
    ];
    assert_eq!(got, want);
}

#[test]
fn a_slip_hides_no_other_mistake_and_is_told_once() {
    let text = "[[behavior]]\nmatch = '*'\norgin = 'o'\n[[origin]]\nname = 'o'\nprotocol = 'h4'\nattempts = 'two'\n";
    let want = [
        "3:1 unknown key 'orgin'",
        "6:12 unknown value 'h4'",
        "7:12 invalid type: string \"two\", expected a whole number from 0 to 4294967295",
    ];
    assert_eq!(bad(text), want);
    assert_eq!(bad("[[behavior]]\nmach = '*'"), ["2:1 unknown key 'mach'"], "and not that 'match' is missing");
    assert_eq!(bad_behavior("compress = { codings = ['bzip', 'br'] }"), ["6:25 unknown value 'bzip'"]);
}

#[test]
fn a_finding_shows_line_caret_and_help() {
    let text = format!("{ORIGIN}[[behavior]]\nmatch = '*'\n  orgin = 'o'\n");
    let errors = parse(&text, "config/edge.toml", Path::new("")).unwrap_err();
    let want =
        "config/edge.toml:6:3: unknown key 'orgin'\n  |\n6 |   orgin = 'o'\n  |   ^^^^^\nhelp: did you mean 'origin'?";
    assert_eq!(errors.to_string(), want);
    let near = parse(&text.replace("  orgin = 'o'", "origin = 'oo'"), "f", Path::new("")).unwrap_err();
    assert!(near.to_string().ends_with("help: did you mean 'o'?"), "{near}");
}

#[test]
fn every_table_refuses_what_cannot_run() {
    for (text, want) in [
        ("[pop\ncode = 1", "1:5 unclosed table, expected ']'"),
        (
            "[limits]\nheader_timeout = '5 minutes'",
            "2:18 '5 minutes' is no duration: write a number and one of ms, s, m, h, d, like \"5m\"",
        ),
        (
            "[limits]\nheader_timeout = 5",
            "2:18 '5' is no duration: write a number and one of ms, s, m, h, d, like \"5m\"",
        ),
        ("[limits]\nheader_count = 0", "2:16 must be more than 0"),
        (
            "[limits]\nheader_count = -1",
            "2:16 invalid value: integer '-1', expected a whole number from 0 to 18446744073709551615",
        ),
        ("[limits]\nuri_size = '64KiB'", "2:12 a target longer than 'header_size' cannot arrive"),
        ("[pop]\nlisten = ['localhost:80']", "2:11 'localhost:80' is no address to listen on"),
        ("[pop]\nlisten = ['1.1.1.1:1', '1.1.1.1:1']", "2:24 this address is listened on already"),
        (
            "[[listener]]\naddress = '0.0.0.0:443'\ntls = { certificates = [] }",
            "3:24 TLS needs at least one certificate",
        ),
        (
            "[[listener]]\naddress = '0.0.0.0:80'\ntrusted_proxies = ['ten']",
            "3:20 'ten' is no address or CIDR block, like \"10.0.0.0/8\"",
        ),
        ("[cache]\ndisk = { path = 'x', size = '1B' }", "2:29 a disk cache has at least 16MiB"),
        ("[admin]\naddress = '0.0.0.0:9901'", "2:11 an admin address that others can reach needs a token"),
        ("pop = 3", "1:7 invalid type: integer '3', expected a table"),
        (
            "[pop]\nlisten = ['0.0.0.0:9901']\n[admin]\naddress = '127.0.0.1:9901'",
            "4:11 viewers are served on 127.0.0.1:9901, the address of the admin API",
        ),
        ("[pop]\nlisten = ['0.0.0.0:80', '127.0.0.1:80']", "2:25 this address is listened on already"),
        (
            "[admin]\naddress = '127.0.0.1:8080'",
            "2:11 viewers are served on 127.0.0.1:8080, the address of the admin API",
        ),
        ("[admin]\naccess = 'kvs'", "2:10 unknown sigv4 'kvs'"),
        (
            "[[sigv4]]\nname = 'api'\nkey = [{ id = 'A', secret = 'env:PATH' }]\n[admin]\naccess = 'api'",
            "5:10 the keys of 'api' sign for another service",
        ),
        ("[admin]\ntoken = 'env:RIMWARD_TEST_UNSET'", "2:9 the environment has no text variable 'RIMWARD_TEST_UNSET'"),
        ("[observe]\ntraces = { endpoint = 'collector' }", "2:23 'collector' is no URL"),
        ("[[origin_group]]\nname = 'g'\norigins = []", "3:11 group 'g' has no origins"),
        ("[[origin_group]]\nname = 'o'\norigins = ['o']", "2:8 the name 'o' is taken"),
        ("[[origin_group]]\nname = 'g'\norigins = ['o', 'o']", "3:17 this origin is in the group already"),
        ("[[origin_group]]\nname = 'g'\norigins = ['g']", "3:12 'g' is a group: a group has origins only"),
        ("[[origin_group]]\nname = 'g'\norigins = ['o']\nfailover = [200]", "4:13 200 is no status from 400 to 599"),
    ] {
        let text = format!("{text}\n{ORIGIN}");
        assert_eq!(bad(&text).first().map(String::as_str), Some(want), "{text}");
    }
}

#[test]
fn every_origin_key_refuses_what_cannot_run() {
    for (keys, want) in [
        ("", "origin 'x' is nowhere"),
        ("url = 'http://a'\ntargets = ['http://b']", "'url' and 'targets' say the same: write one of them"),
        ("targets = ['http://a/x', 'http://b/y']", "targets of one origin have the same path"),
        ("targets = [{ url = 'http://a', weight = 0 }]", "a weight is 1 to 1000"),
        ("url = 'http://a'\nattempts = 0", "attempts are 1 to 10"),
        ("url = 'http://a'\nask_peers = 4", "at most 3: each costs the viewer a round trip"),
        ("url = 'http://a'\nshield = 'F-1'", "'F-1' is no PoP"),
        ("generated = { body = '' }\nshield = 'FRA'", "'shield' means nothing beside 'generated'"),
        ("url = 'http://a'\nprotocol = 'negotiate'", "only TLS can negotiate"),
        ("url = 'http://a'\nhost = 'a b'", "'a b' is no host"),
        ("url = 'http://a'\nheaders = { 'a b' = 'x' }", "'a b' is no header name"),
        ("url = 'http://a'\nheaders = { host = 'x' }", "two ways to say one thing"),
        ("url = 'http://a'\nheaders = { te = 'x' }", "'te' frames the message and cannot be set"),
        ("url = 'http://a'\nheaders = { x = \"a\\nb\" }", "a header value is one line of visible text"),
        ("url = 'https://a'\ntls = { cert = 'x' }", "a certificate needs its 'key'"),
        ("url = 'http://a'\ndns = { min_ttl = '1h' }", "min_ttl (1h) is more than max_ttl (5m)"),
        ("url = 'http://a'\ndns.servers = ['one']", "'one' is no resolver address, like \"1.1.1.1\""),
        ("url = 'http://a'\nhealth = { path = 'x' }", "'x' is no path: it starts with \"/\""),
        ("url = 'http://a'\nhealth = { path = '/', timeout = '1m' }", "timeout (1m) is more than interval (10s)"),
        ("url = 'http://a'\neject = { failures = 0 }", "must be more than 0"),
        ("url = 'http://a'\ntimeouts = { read = '0s' }", "must be more than 0"),
        ("generated = { body = 'x' }\nhealth = { path = '/' }", "'health' means nothing beside 'generated'"),
        ("generated = { status = 600 }", "600 is no status from 200 to 599"),
        ("generated = { status = 204, body = 'x' }", "an answer 204 No Content has no body"),
        ("generated = { body = 'x', body_file = 'y' }", "'body' and 'body_file' say the same: write one of them"),
        ("generated = { body_file = 'none' }", "cannot read /base/none: No such file or directory (os error 2)"),
    ] {
        let got = bad(&format!("[[origin]]\nname = 'x'\n{keys}\n[[behavior]]\nmatch = '*'\norigin = 'x'"));
        assert_eq!(got.len(), 1, "{keys}: {got:?}");
        assert!(got[0].ends_with(&format!(" {want}")), "{keys}: {got:?}");
    }
}

#[test]
fn every_behavior_key_refuses_what_cannot_run() {
    for (keys, want) in [
        ("origin = 'o'\nredirect = { to = '/' }", "a behavior asks an origin or redirects, not both"),
        ("redirect = { to = '/', status = 200 }", "200 is no redirect: write 301, 302, 303, 307 or 308"),
        ("redirect = { to = '/$pth' }", "unknown variable '$pth'"),
        ("methods = ['get']", "unknown method 'get'"),
        ("methods = ['TRACE']", "TRACE is never let through"),
        ("methods = []", "no method is let through"),
        ("cache = { ttl = '1m', min_ttl = '2m' }", "ttl (1m) is less than min_ttl (2m)"),
        ("cache = { ttl = '2m', max_ttl = '1m' }", "ttl (2m) is more than max_ttl (1m)"),
        ("cache = { min_ttl = '2m', max_ttl = '1m' }", "min_ttl (2m) is more than max_ttl (1m)"),
        ("cache.key.headers = ['a b']", "'a b' is no header name"),
        ("cache.key.cookies = ['']", "a name is missing"),
        ("forward.body_size = '2GiB'", "more than 'limits.body_size' lets in"),
        ("response.set = { content-length = '1' }", "'content-length' frames the message and cannot be set"),
        ("response.cors = { credentials = true }", "credentials for every origin"),
        ("response.cors = { origins = ['example.com'] }", "'example.com' is no web origin"),
        ("response.cors = { origins = ['https://a/b'] }", "'https://a/b' is no web origin"),
        ("compress = { codings = [] }", "nothing to compress with"),
        ("compress = { min_size = '20MB' }", "min_size (20MB) is more than max_size (10MB)"),
        ("compress = { types = ['html'] }", "'html' is no media type, like \"text/html\" or \"text/*\""),
        ("errors = [{ status = [404] }]", "neither 'page' nor 'file' is given"),
        ("errors = [{ status = [200], page = '/x' }]", "200 is no status from 400 to 599"),
        ("errors = [{ status = [404], page = '/x' }, { status = ['400-410'], page = '/x' }]", "404 has a page already"),
        ("errors = [{ status = [404], page = 'x' }]", "'x' is no path: it starts with \"/\""),
        ("errors = [{ status = [404], page = '/x', file = 'y' }]", "'page' and 'file' say the same: write one of them"),
        ("root_object = '/index.html'", "'/index.html' is no object name"),
        ("strip_prefix = 'api'", "'api' is no path prefix"),
        ("strip_prefix = '/'", "'/' is no path prefix"),
        ("name = ''", "a name has 1 to 512 characters"),
        ("compress = 'yes'", "invalid type: string \"yes\", expected true, false or a table"),
    ] {
        let got = bad_behavior(keys);
        assert_eq!(got.len(), 1, "{keys}: {got:?}");
        assert!(got[0].ends_with(&format!(" {want}")), "{keys}: {got:?}");
    }
}

#[test]
fn a_default_ttl_that_is_not_written_gives_way_to_the_bounds() {
    for (cache, want) in
        [("{ max_ttl = '1m' }", 60), ("{ min_ttl = '2d' }", 172_800), ("{ ttl = '5s' }", 5), ("true", 86_400)]
    {
        let config = good(&format!("{ORIGIN}[[behavior]]\nmatch = '*'\ncache = {cache}"));
        assert_eq!(config.behaviors[0].cache.default_ttl.as_secs(), want, "{cache}");
    }
}

#[test]
fn secrets_are_references_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "  hunter2\n").unwrap();
    let text = format!("{ORIGIN}headers = {{ authorization = 'file:token' }}\n[admin]\ntoken = 'file:token'\n");
    let config = parse(&text, "t", dir.path()).unwrap();
    assert_eq!(config.admin.as_ref().unwrap().token.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(config.origins[0].headers[0].1.expose(), "hunter2");
    assert!(config.sources.contains(&dir.path().join("token")));
    assert!(!format!("{config:?}").contains("hunter2"));

    let errors = parse("[admin]\ntoken = 'hunter2'", "t", dir.path()).unwrap_err();
    let errors = errors.to_string();
    assert!(errors.contains("a secret is never written in the configuration itself"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn certificates_are_looked_at_when_the_configuration_is() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let tls = |keys: &str| format!("{ORIGIN}[[listener]]\naddress = '127.0.0.1:8443'\n[listener.tls]\n{keys}");
    let pair = "certificates = [{ cert = 'tls/localhost.pem', key = 'tls/localhost.key' }]";
    let config = parse(&tls(pair), "t", &base).unwrap();
    assert!(config.sources.contains(&base.join("tls/localhost.key")), "{:?}", config.sources);
    for (keys, want) in [
        (pair.replace("localhost.key", "localhost.pem"), "no PEM private key in "),
        (pair.replace("localhost.pem", "localhost.key"), "no certificate in "),
        (pair.replace("localhost.pem", "none.pem"), "cannot read "),
        (pair.replace("tls/localhost.pem", "tls"), "cannot read "),
        (format!("{pair}\nclient_auth = 'required'"), "who signs the viewers' certificates?"),
        (
            format!("{pair}\nclient_ca = 'tls/localhost.pem'"),
            "authorities without a question: 'client_auth' is \"none\"",
        ),
    ] {
        let errors = parse(&tls(&keys), "t", &base).unwrap_err();
        let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 1, "{keys}: {errors}");
        assert!(messages[0].contains(want), "{keys}: {errors}");
        assert!(!messages[0].contains("MIG"), "the key's text: {errors}");
    }
}

#[test]
fn functions_may_use_any_origin() {
    let text = |hooks: &str| {
        format!(
            "{ORIGIN}[[origin]]\nname = 'chosen'\nurl = 'http://c'\n[[function]]\nname = 'f'\nfile = 'keys/authorizer.js'\n\
             [[behavior]]\nmatch = '*'\norigin = 'o'\n{hooks}"
        )
    };
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for (hooks, want) in [("", 1), ("hooks = { viewer_request = 'f' }", 0), ("hooks = { viewer_response = 'f' }", 1)] {
        let warnings = parse(&text(hooks), "t.toml", &base).unwrap().warnings;
        let unused = warnings.iter().filter(|warning| warning.contains("no behavior uses origin 'chosen'")).count();
        assert_eq!(unused, want, "{hooks}: {warnings:?}");
    }
}

#[test]
fn likely_mistakes_are_warned_of() {
    let behaviors = "[[behavior]]\nmatch = '/a/*'\norigin = 'o'\n[[behavior]]\nmatch = '/a/b'\norigin = 'o'\n";
    let config = good(&format!(
        "{ORIGIN}[[origin]]\nname = 'idle'\nurl = 'http://i'\n{behaviors}viewer_protocol = 'https-only'\nresponse = {{ cors = {{}} }}"
    ));
    let want = [
        "t.toml:14:12: '/a/b' answers no CORS preflight: its 'methods' leave out OPTIONS",
        "t.toml:11:9: '/a/b' is never reached: '/a/*' before it takes all it matches",
        "t.toml:5:8: no behavior uses origin 'idle'",
        "t.toml:13:19: '/a/b' wants https, and no listener speaks TLS",
    ];
    assert_eq!(config.warnings, want);
}

#[test]
fn a_directory_is_one_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("10-pop.toml", "[pop]\ncode = 'AMS'\n");
    write("20-a.toml", "[[origin]]\nname = 'a'\nurl = 'http://a'\n[[behavior]]\nmatch = '/a'\norigin = 'a'\n");
    write("30-b.toml", "[[origin]]\nname = 'b'\nurl = 'http://b'\n[[behavior]]\nmatch = '*'\norigin = 'b'\n");
    write(".draft.toml", "not toml");
    write("notes.txt", "not toml");
    let config = load(dir.path()).unwrap();
    assert_eq!((config.pop.code.as_str(), config.origins.len(), config.behaviors.len()), ("AMS", 2, 2));
    assert_eq!(config.behaviors[1].name, "*");
    assert_eq!(config.sources[0], dir.path());
    assert_eq!(config.sources.len(), 4);

    write("30-b.toml", "[[origin]]\nname = 'b'\nurl = 'http://b'\n[pop]\n[[behavior]]\nmatch = '*'\norigin = 'c'\n");
    let errors = load(dir.path()).unwrap_err().to_string();
    assert!(errors.contains("30-b.toml:4:2: 'pop' is in another file already"), "{errors}");

    write("30-b.toml", "[[behavior]]\nmatch = '*'\norigin = 'c'\n");
    let errors = load(dir.path()).unwrap_err().to_string();
    assert!(errors.contains("30-b.toml:3:10: unknown origin 'c'"), "{errors}");
    assert!(errors.ends_with("help: did you mean 'a'?"), "{errors}");
}

#[test]
fn nothing_written_is_nothing_served() {
    assert_eq!(bad(""), ["1:1 nothing is served: there is no [[behavior]]"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.toml");
    assert!(load(&none).unwrap_err().to_string().starts_with(&format!("{}: ", none.display())));
    let empty = load(dir.path()).unwrap_err().to_string();
    assert!(empty.ends_with("no *.toml file in this directory"), "{empty}");
}

#[test]
fn the_digest_follows_texts_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let text = "[[origin]]\nname = 'o'\ngenerated = { body_file = 'page.html' }\n";
    let digest = |text: &str| parse(text, "t", dir.path()).unwrap().digest;
    std::fs::write(&page, "1").unwrap();
    let first = digest(text);
    assert_eq!((first.len(), &digest(text)), (12, &first));
    assert_ne!(digest(&format!("{text}# more")), first);
    std::fs::write(&page, "2").unwrap();
    assert_ne!(digest(text), first);
}

#[test]
fn every_example_loads_without_a_warning() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let examples = tables_in(&directory).unwrap();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let config = load(&example).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.warnings, [""; 0], "{}", example.display());
    }
}

#[test]
fn odd_texts_are_refused_not_fatal() {
    let deep = format!("a = {}", "[".repeat(100_000));
    for text in [
        "\u{feff}",
        "é = 1",
        "[pop]\ncode = \"é\n",
        "[[behavior]]\nmatch = 'é'\n\"ü\" = 1",
        "\r\n[",
        "a.b.c = 1",
        "\0",
        &deep,
    ] {
        if let Err(errors) = parse(text, "t", Path::new("")) {
            assert!(errors.render(true).starts_with("t:"), "{text:?}: {errors}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever is broken in a real file: an answer, never a panic.
    #[test]
    fn broken_texts_are_answered(at in 0usize..6_000, cut in 0usize..40, put in "[\\[\\]{}='\"a-z0-9.é \n]{0,12}") {
        let text = include_str!("../../../config/edge.toml");
        let from = text.floor_char_boundary(at.min(text.len()));
        let to = text.ceil_char_boundary((from + cut).min(text.len()));
        let broken = format!("{}{put}{}", &text[..from], &text[to..]);
        if let Err(errors) = parse(&broken, "t", &Path::new(env!("CARGO_MANIFEST_DIR")).join("config")) {
            proptest::prop_assert!(errors.to_string().starts_with("t:"), "{}", errors);
        }
    }
}
