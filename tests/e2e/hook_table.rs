//! Hook table: CloudFront's tables of header fields and of events, row by row through a whole PoP, and what it keeps of functions.
//!
//! In: a function that sets any field, requests that the edge refuses, files that were meddled with. Out: AWS's answer to each row; a PoP
//! that answers as before. Never: one rule alone (tests beside the code hold it), the rows of what an origin does (`hook_events`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::access::claims;
use crate::harness::credentials::{Mint, borrowed};
use crate::harness::hooked::{ALL, marks, pop, ran, result};
use crate::harness::pop::run;
use crate::harness::wat::Flat;
use crate::harness::{H2, HOST, Origin, Pop, Raw, Reply, Setup, until};

// --- header fields

const EVENTS: [&str; 4] = ["viewer_request", "origin_request", "origin_response", "viewer_response"];

/// Developer Guide, "Restrictions on edge functions", disallowed header fields; of those that share a beginning, one.
const DISALLOWED: &str = "connection expect keep-alive proxy-authenticate proxy-authorization proxy-connection trailer upgrade \
                          x-accel-buffering x-accel-charset x-accel-limit-rate x-accel-redirect x-amz-cf-thing x-amzn-auth \
                          x-amzn-cf-billing x-amzn-cf-id x-amzn-cf-xff x-amzn-errortype x-amzn-fle-profile x-amzn-header-count \
                          x-amzn-header-order x-amzn-lambda-integration-tag x-amzn-requestid x-cache x-edge-thing \
                          x-forwarded-proto x-real-ip";

/// The same page, read-only header fields: at which events.
const READ_ONLY: [(&str, &[&str]); 10] = [
    ("accept-encoding", &["origin_request"]),
    ("content-length", &["viewer_request", "origin_request"]),
    ("host", &["viewer_request"]),
    ("if-modified-since", &["origin_request"]),
    ("if-none-match", &["origin_request"]),
    ("if-range", &["origin_request"]),
    ("if-unmodified-since", &["origin_request"]),
    ("transfer-encoding", &["viewer_request", "origin_request", "origin_response"]),
    ("via", &EVENTS),
    ("warning", &["viewer_response"]),
];

/// Names like those, which are anybody's.
const FREE: [&str; 8] =
    ["x-a", "x-edge", "x-amz-cf", "x-amzn-other", "x-forwarded-for", "x-caches", "connections", "warnings"];

/// An object of its own with the fields there were, and one that the path names.
const LAMBDA: &str = "exports.handler = async (event) => {\n  const { request, response } = event.Records[0].cf;\n  \
                      const name = request.uri.split('/').pop();\n  \
                      return { status: '200', headers: { ...response?.headers, [name]: [{ value: '1' }] } };\n};\n";
const CLOUDFRONT: &str = "function handler(event) {\n  var headers = event.response ? event.response.headers : {};\n  \
                          headers[event.request.uri.split('/').pop()] = { value: '1' };\n  \
                          return { statusCode: 200, headers: headers };\n}\n";

/// Answers that functions make at request events, responses that they put in the place of others at response events.
#[test]
fn fields_of_answers_by_event_contract_and_mode() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let mut setup = Setup::new(origin.config("o"));
    let mut places = Vec::new();
    for (api, text, events) in
        [("lambda", LAMBDA, &EVENTS[..]), ("cloudfront", CLOUDFRONT, &["viewer_request", "viewer_response"])]
    {
        std::fs::write(setup.dir().join(format!("{api}.js")), text).unwrap();
        for mode in ["strict", "extended"] {
            setup
                .rest
                .push_str(&format!("[[function]]\nname = \"{api}-{mode}\"\nfile = \"{api}.js\"\nmode = \"{mode}\"\n"));
            for event in events {
                setup.rest.push_str(&format!(
                    "[[behavior]]\nmatch = \"/{api}/{event}/{mode}/*\"\norigin = \"o\"\n\
                     hooks = {{ {event} = \"{api}-{mode}\" }}\n"
                ));
                places.push((api, *event, mode));
            }
        }
    }
    let pop = setup.start();
    let names = DISALLOWED.split(' ').chain(READ_ONLY.map(|(name, _)| name)).chain(FREE);
    for ((api, event, mode), name) in places.into_iter().flat_map(|place| names.clone().map(move |name| (place, name)))
    {
        let here = READ_ONLY.iter().any(|(own, events)| *own == name && events.contains(&event));
        let error = if api == "lambda" { "LambdaValidationError" } else { "FunctionValidationError" };
        let body = if event.ends_with("response") { "hello" } else { "" };
        let refused = match mode {
            _ if DISALLOWED.split(' ').any(|own| own == name) => true,
            _ if event.ends_with("response") => here,
            "strict" => here && name != "transfer-encoding",
            _ => name == "via",
        };
        // What is stored of it is shown to the functions of viewers again.
        for nth in 0..2 {
            let reply = pop.get(&format!("/{api}/{event}/{mode}/{name}"));
            let about = format!("{name} at {event}, {api}, {mode}, {nth}: {:?}", reply.fields);
            if refused {
                assert_eq!((reply.status, result(&reply)), (502, error), "{about}");
                continue;
            }
            assert_eq!((reply.status, reply.text().as_str()), (200, body), "{about}");
            let length = body.len().to_string();
            match name {
                "content-length" | "transfer-encoding" => {
                    assert_eq!(reply.all("content-length"), [length], "framing is the edge's: {about}");
                    assert_eq!(reply.field("transfer-encoding"), None, "{about}");
                }
                _ => assert_eq!(reply.all(name), ["1"], "{about}"),
            }
        }
    }
}

// --- events

const EACH: [&str; 4] = ["viewer-request", "origin-request", "origin-response", "viewer-response"];
const VIEWERS: [&str; 2] = ["viewer-request", "viewer-response"];

/// A PoP whose behaviors, each a `match` and more lines, have a function at every event. On its other listener viewers say where they are.
fn hooked(origin: &Origin, tables: &str, behaviors: &[(&str, &str)]) -> Pop {
    let mut setup = Setup::new(origin.config("o"));
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned();
    for (name, text) in marks() {
        std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
        setup.rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n"));
    }
    setup.rest.push_str(tables);
    for (matches, lines) in behaviors {
        setup.rest.push_str(&format!(
            "[[behavior]]\nmatch = \"{matches}\"\norigin = \"o\"\nmethods = \"all\"\n{lines}\n[behavior.hooks]\n{ALL}\n"
        ));
    }
    setup.start()
}

/// The events whose functions ran for an answer, in order.
fn events(pop: &Pop, reply: &Reply) -> Vec<String> {
    let line = pop.log_line(reply.field("x-amz-cf-id").unwrap());
    let calls = line["functions"].as_array().into_iter().flatten();
    calls.map(|call| call["event"].as_str().unwrap().to_owned()).collect()
}

/// A request's target, and a field of it.
type Asked = (String, (&'static str, String));

/// Developer Guide, "CloudFront events that can trigger a function": who is not let in runs none of them, whatever is stored; who is, all.
#[test]
fn functions_run_for_those_who_are_let_in_alone() {
    let dir = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        std::fs::write(dir.path().join(format!("{name}.pem")), pair.public_key_pem()).unwrap();
        let private = dir.path().join(format!("{name}.key"));
        std::fs::write(&private, pair.serialize_pem()).unwrap();
        private.to_str().unwrap().to_owned()
    };
    let (own, foreign) = (key("own"), key("foreign"));
    let sign = |key: &str, more: &[&str]| {
        let url = format!("http://{HOST}/a");
        let args = ["sign", "url", url.as_str(), "--key-pair-id", "K1", "--key", key, "--expires", "1h"];
        let (status, out, err) = run(&[&args[..], more].concat());
        assert!(status.success(), "{err}");
        out.trim().strip_prefix(&format!("http://{HOST}")).unwrap().to_owned()
    };
    let signed = sign(&own, &[]);
    let at = signed.find("Signature=").unwrap() + "Signature=".len() + 20;
    let other = if signed[at..].starts_with('A') { "B" } else { "A" };
    let forged = format!("{}{other}{}", &signed[..at], &signed[at + 1..]);
    let (mint, stranger) = (Mint::new("k1"), Mint::new("k1"));
    std::fs::write(dir.path().join("jwks.json"), Mint::jwks(&[&mint])).unwrap();

    let dir = dir.path().display();
    let keys = format!("[[key_group]]\nname = \"premium\"\n[[key_group.key]]\nid = \"K1\"\nfile = \"{dir}/own.pem\"\n");
    let issuer = format!(
        "[[jwt]]\nname = \"pool\"\nissuer = \"https://issuer.example/pool\"\njwks = \"file:{dir}/jwks.json\"\n\
         audience = [\"web\"]\nalgorithms = [\"ES256\"]\n"
    );
    let places = format!("[geo]\ndatabases = [\"{}/geo/test.mmdb\"]\n", env!("CARGO_MANIFEST_DIR"));
    let office = "[[address_list]]\nname = \"office\"\nnets = [\"192.0.2.0/25\"]\n".to_owned();
    let url = |target: &str| -> Asked { (target.to_owned(), ("X-Nothing", "1".to_owned())) };
    let from = |address: &str| -> Asked { ("/a".to_owned(), ("X-Forwarded-For", address.to_owned())) };
    let bearer = |mint: &Mint| -> Asked {
        ("/a".to_owned(), ("Authorization", format!("Bearer {}", mint.token(claims("alice")))))
    };
    let elsewhere = sign(&own, &["--ip", "192.0.2.0/24"]);
    let moved = signed.replacen("/a?", "/b?", 1);
    let unsigned = ["/a".to_owned(), forged, moved, sign(&foreign, &[]), elsewhere].map(|target| url(&target));
    let (german, american, unknown) = (from("192.0.2.1"), from("192.0.2.200"), from("203.0.113.200"));
    for (rule, tables, status, refused, welcome) in [
        ("{ signed = \"premium\" }", keys, 403, unsigned.to_vec(), url(&signed)),
        ("{ jwt = \"pool\" }", issuer, 401, vec![url("/a"), bearer(&stranger)], bearer(&mint)),
        ("{ country = [\"DE\"] }", places.clone(), 403, vec![american.clone(), unknown.clone()], german.clone()),
        ("{ none = [{ country = [\"US\"] }] }", places, 403, vec![american.clone()], unknown),
        ("{ address = \"office\" }", office, 403, vec![american, url("/a")], german),
    ] {
        let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
        let access = format!("access = {rule}");
        let pop = hooked(&origin, &tables, &[("*", access.as_str())]);
        let ask =
            |(target, (name, value)): &Asked| Raw::connect(pop.extra[0]).ask("GET", target, &[(*name, value.as_str())]);
        let refuses = |when: &str| {
            for asked in &refused {
                let reply = ask(asked);
                assert_eq!((reply.status, ran(&reply)), (status, (false, false)), "{rule}, {when}: {asked:?}");
                assert_eq!(events(&pop, &reply), [""; 0], "{rule}, {when}: {asked:?}");
            }
        };
        refuses("nothing is stored");
        for want in [&EACH[..], &VIEWERS] {
            let reply = ask(&welcome);
            assert_eq!((reply.status, reply.text().as_str(), ran(&reply)), (200, "hello", (true, true)), "{rule}");
            assert_eq!(events(&pop, &reply), want, "{rule}");
        }
        refuses("the answer is stored");
        assert_eq!(origin.count(), 1, "{rule}");
    }
}

/// The same of requests that are too large, too many, for nobody here, or answered by the edge alone.
#[test]
fn what_the_edge_refuses_by_itself_runs_no_function() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let limits = "[limits]\nheader_count = 20\nheader_size = \"4KiB\"\nuri_size = \"1KiB\"\nbody_size = \"1KiB\"\n";
    let pop = hooked(
        &origin,
        limits,
        &[
            ("shop.example/often", "limit = { per = \"behavior\", rate = \"1/h\", burst = 1 }"),
            ("shop.example/api", "response = { cors = { origins = [\"https://a.example\"], methods = [\"PUT\"] } }"),
            ("shop.example/small", "forward = { body_size = \"100B\" }"),
            ("shop.example/*", ""),
        ],
    );
    let first = pop.get("/often");
    assert_eq!((first.status, ran(&first)), (200, (true, true)));
    let host = format!("Host: {HOST}\r\n");
    let many: Vec<_> = (0..30).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
    let fields: String = many.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (target, long) = ("x".repeat(2_000), "x".repeat(5_000));
    let rows = [
        (414, format!("GET /{target} HTTP/1.1\r\n{host}\r\n")),
        (431, format!("GET /a HTTP/1.1\r\n{host}{fields}\r\n")),
        (431, format!("GET /a HTTP/1.1\r\n{host}X-Long: {long}\r\n\r\n")),
        (413, format!("POST /a HTTP/1.1\r\n{host}Content-Length: 2000\r\n\r\n")),
        (413, format!("POST /small HTTP/1.1\r\n{host}Content-Length: 200\r\n\r\n")),
        (400, format!("POST /a HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n")),
        (417, format!("POST /a HTTP/1.1\r\n{host}Expect: x\r\nContent-Length: 0\r\n\r\n")),
        (400, "GET /a HTTP/1.1\r\n\r\n".to_owned()),
        (404, "GET /a HTTP/1.1\r\nHost: other.example\r\n\r\n".to_owned()),
        (501, format!("CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}:80\r\n\r\n")),
        (429, format!("GET /often HTTP/1.1\r\n{host}\r\n")),
        (
            204,
            format!(
                "OPTIONS /api HTTP/1.1\r\n{host}Origin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
            ),
        ),
    ];
    for (status, text) in &rows {
        let mut raw = pop.raw();
        raw.send(text);
        let reply = raw.reply("GET");
        assert_eq!((reply.status, ran(&reply)), (*status, (false, false)), "{text}");
    }
    let mut h2 = H2::plain(pop.http);
    let fields = borrowed(&many);
    let none: &[(&str, &str)] = &[];
    let streams =
        [(414, format!("/{target}"), none), (431, "/a".to_owned(), &fields[..]), (429, "/often".to_owned(), none)];
    for (status, target, fields) in &streams {
        let reply = h2.send("GET", target, fields, b"", &[]);
        assert_eq!((reply.status, reply.field("x-vres")), (*status, None), "{target}");
    }
    let log = until("the log", || Some(pop.access_log()).filter(|log| log.len() == 1 + rows.len() + streams.len()));
    let called: Vec<_> =
        log.iter().filter(|line| line["functions"].as_array().is_some_and(|all| !all.is_empty())).collect();
    assert!(matches!(called[..], [line] if line["status"] == 200), "{called:?}");
    for (name, _) in marks() {
        pop.counted("rimward_function_calls_total", &[&format!("function=\"{name}\"")], 1.0);
    }
    assert_eq!(origin.count(), 1);
}

// --- what is kept

/// What a PoP keeps of its functions, file by file: the key, compiled code, and JavaScript that was built.
fn kept(pop: &Pop) -> BTreeMap<PathBuf, Vec<u8>> {
    let below = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let dir = pop.dir().join("state/functions");
    let files = below(dir.join("built")).chain(below(dir)).filter(|path| path.is_file());
    files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// What becomes of a file, of all there are.
type Harm = fn(&[&[u8]], usize) -> Vec<u8>;

const HARMS: [(&str, Harm); 5] = [
    ("a byte is another", |all, at| {
        let mut bytes = all[at].to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    }),
    ("half of it is gone", |all, at| all[at][..all[at].len() / 2].to_vec()),
    ("nothing is left", |_, _| Vec::new()),
    ("there is more of it", |all, at| [all[at], b"x"].concat()),
    ("it is that of the next", |all, at| all[(at + 1) % all.len()].to_vec()),
];

/// Whatever became of all those files, a PoP starts, makes them anew, answers as before and ends well. `hook_swaps` holds the same of
/// compiled code whose key is whole.
#[test]
fn a_pop_starts_with_whatever_became_of_what_it_kept() {
    let origin = Origin::fixed("", "from the origin");
    let script = |name: &str| format!("exports.handler = async () => ({{ status: '200', body: 'of {name}' }});\n");
    let mut setup = Setup::new(origin.config("o"));
    for (name, file, text) in [
        ("f", "f.js", script("f")),
        ("g", "g.js", script("g")),
        ("h", "h.wat", Flat::new().respond(200, &[], "of h").wat()),
    ] {
        std::fs::write(setup.dir().join(file), text).unwrap();
        setup.rest.push_str(&format!(
            "[[function]]\nname = \"{name}\"\nfile = \"{file}\"\n\
             [[behavior]]\nmatch = \"/{name}\"\norigin = \"o\"\nhooks = {{ viewer_request = \"{name}\" }}\n"
        ));
    }
    let mut pop = setup.start();
    let answers = |pop: &Pop, about: &str| {
        for name in ["f", "g", "h"] {
            assert_eq!(pop.get(&format!("/{name}")).text(), format!("of {name}"), "{about}");
        }
    };
    answers(&pop, "whole");
    let stop = |pop: &mut Pop, about: &str| {
        pop.signal("TERM");
        assert!(pop.wait().success(), "{about}");
    };
    let whole = kept(&pop);
    let count = |end: &str| whole.keys().filter(|path| path.to_string_lossy().ends_with(end)).count();
    assert_eq!((count("/key"), count(".built")), (1, 2));
    assert!(count(".cwasm") >= 3, "{:?}", whole.keys());
    for (about, harm) in HARMS {
        stop(&mut pop, about);
        let files = kept(&pop);
        let all: Vec<&[u8]> = files.values().map(Vec::as_slice).collect();
        for (at, path) in files.keys().enumerate() {
            std::fs::write(path, harm(&all, at)).unwrap();
        }
        let damaged = kept(&pop);
        pop.start_again();
        answers(&pop, about);
        let now = kept(&pop);
        for (path, bytes) in damaged.iter().filter(|(path, _)| !path.ends_with("key")) {
            assert!(now.get(path) != Some(bytes), "{about}: {} is as it was", path.display());
        }
    }
    // Nothing can be kept where directories lie in its place, and nothing is needed.
    stop(&mut pop, "directories");
    for path in whole.keys().filter(|path| !path.ends_with("key")) {
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
    }
    pop.start_again();
    answers(&pop, "directories");
    stop(&mut pop, "nothing at all");
    std::fs::remove_dir_all(pop.dir().join("state/functions")).unwrap();
    pop.start_again();
    answers(&pop, "nothing at all");
    stop(&mut pop, "the end");
    assert_eq!(origin.count(), 0);
}

/// Nice values of the threads that compile, and of all others.
fn nice(pop: &Pop) -> (Vec<i32>, Vec<i32>) {
    let (mut compilers, mut others) = (Vec::new(), Vec::new());
    for task in std::fs::read_dir(format!("/proc/{}/task", pop.pid())).unwrap() {
        // A thread may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).unwrap();
        // The 19th field of all (proc_pid_stat(5)), the 17th behind the name.
        let value = rest.split_whitespace().nth(16).unwrap().parse().unwrap();
        // The kernel keeps 15 bytes of `functions-compile-0`.
        let side = if name.starts_with("functions-compi") { &mut compilers } else { &mut others };
        side.push(value);
    }
    (compilers, others)
}

/// While requests are served, code is compiled on threads of its own that leave the machine to them. A start has none to wait for it.
#[test]
fn a_change_is_compiled_at_the_lowest_priority() {
    let origin = Origin::fixed("", "from the origin");
    let answer = |body: &str| Flat::new().respond(200, &[], body).wat();
    let pop = pop(&origin, &[("f", answer("old"))], "", "viewer_request = \"f\"");
    assert_eq!(pop.get("/a").text(), "old");
    assert_eq!(nice(&pop).0, [0; 0], "a start compiles as fast as it can");
    std::fs::write(pop.dir().join("f.wat"), answer("new")).unwrap();
    assert_eq!(pop.admin("POST", "/reload", "").status, 200);
    assert_eq!(pop.get("/a").text(), "new");
    // Each thread steps back as its first act.
    let others = until("all that compile to step back", || {
        let (compilers, others) = nice(&pop);
        assert!(!compilers.is_empty(), "the change was compiled elsewhere");
        compilers.iter().all(|value| *value == 19).then_some(others)
    });
    assert!(others.iter().all(|value| *value == others[0]), "nobody else does: {others:?}");
}
