//! The developer's loop of a function, as the commands a person types: the real binary over temporary directories.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mistakes;
mod packages;
mod typescript;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rimward::config::compiled::Mode;
use rimward::hooks::testevent::{self, Change, Given, Message, Outcome, Raw, Recording};
use rimward::hooks::{Api, Site};

const RIMWARD: &str = env!("CARGO_BIN_EXE_rimward");
/// How long a change may take to be served: the engine of a debug build is slow to compile.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory to work in, with a cache of its own.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(RIMWARD);
        let own = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::env::split_paths(&own).chain(toolchains())).unwrap();
        command.env("PATH", path);
        command
            .args(line)
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", self.at("cache"))
            .env_remove("RIMWARD_CONFIG");
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, line: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn done(&self, line: &[&str]) -> String {
        let (code, out, err) = self.run(line);
        assert_eq!(code, 0, "{line:?}\n{out}\n{err}");
        out
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.at(path), text).unwrap();
    }
}

/// Where the compilers lie that functions/samples/build.sh installed.
fn toolchains() -> Vec<PathBuf> {
    let guests = std::env::var_os("RIMWARD_GUESTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guests"), PathBuf::from);
    let below = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    below(guests.join("toolchains"))
        .flat_map(|tool| {
            let packages = below(tool.join("lib")).map(|python| python.join("site-packages/ziglang"));
            packages.chain([tool.join("bin"), tool.join("node_modules/.bin")]).collect::<Vec<_>>()
        })
        .filter(|dir| dir.is_dir())
        .collect()
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a configuration refuses in strict mode, `fn test` does not call valid.
#[test]
fn strict_tests_keep_to_the_quotas_of_their_event() {
    let desk = Desk::new();
    desk.write("f.js", "exports.handler = async (event) => event.Records[0].cf.request;\n");
    let test = |more: &[&str]| desk.run(&[&["fn", "test", "f.js", "--mode", "strict"], more].concat());
    for (more, words) in [
        (&["--at", "viewer-request", "--timeout", "6s"][..], "`timeout` is at most 5s at viewer events"),
        (&["--at", "viewer-request", "--memory", "256MiB"], "`memory` is at most 128MiB at viewer events"),
        (&["--at", "origin-request", "--timeout", "31s"], "30s"),
    ] {
        let (code, out, err) = test(more);
        assert!(code != 0 && err.contains(words), "{more:?}: {out}{err}");
    }
    for more in [&["--at", "viewer-request", "--timeout", "5s"][..], &["--at", "origin-request", "--timeout", "30s"]] {
        let (code, out, err) = test(more);
        assert_eq!(code, 0, "{more:?}: {out}{err}");
    }
    // What does not become smaller when it is zipped.
    let noise: String = (0..200_000_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    desk.write("f.js", &format!("exports.handler = async (event) => event.Records[0].cf.request;\n//{noise}\n"));
    let (code, out, err) = test(&["--at", "viewer-request"]);
    assert!(code == 2 && err.contains("bytes when zipped, Lambda@Edge takes 1048576 at viewer events"), "{out}{err}");
    desk.done(&["fn", "test", "f.js", "--mode", "strict", "--at", "origin-request"]);
    desk.write("k.js", "function handler(event) { return event.request; }\n");
    for (given, words) in [("--secret=k=env:HOME", "no secrets"), ("--fetch=a.example", "makes no requests")] {
        let (code, out, err) = desk.run(&["fn", "test", "k.js", "--mode", "strict", given]);
        assert!(code == 2 && err.contains(words), "{given}: {out}{err}");
        desk.done(&["fn", "test", "k.js", given]);
    }
    // A CloudFront function's log is cut at 10 KB.
    desk.write("c.js", "function handler(event) { for (var n = 0; n < 20; n++) console.log('x'.repeat(1000)); return event.request; }\n");
    for (mode, bytes) in [("strict", 10_240), ("extended", 20_000)] {
        let out = desk.done(&["fn", "test", "c.js", "--mode", mode]);
        assert_eq!(out.matches('x').count(), bytes, "{mode}: {out}");
    }
}

#[test]
fn from_nothing_to_a_tested_function_in_javascript() {
    let desk = Desk::new();
    let out = desk.done(&["fn", "new", "pretty"]);
    assert!(out.contains("rimward fn test pretty/index.js --event pretty/event.json"), "{out}");
    let test = ["fn", "test", "pretty/index.js", "--event", "pretty/event.json", "--now", "2026-01-01"];
    let out = desk.done(&test);
    for line in
        ["- GET /docs/\n", "+ GET /docs/index.html\n", "+ x-function: pretty\n", "valid: goes on with 2 edits\n"]
    {
        assert!(out.contains(line), "{out}");
    }
    assert!(out.contains("info   asks for /docs/index.html\n"), "{out}");
    assert!(out.contains("clock: 2026-01-01T00:00:00Z, seed: 0\n"), "{out}");
    let mut piped = desk.command(&["fn", "test", "pretty/index.js", "--event", "-"]);
    let piped = piped.stdin(std::fs::File::open(desk.at("pretty/event.json")).unwrap()).output().unwrap();
    assert!(String::from_utf8(piped.stdout).unwrap().contains("+ GET /docs/index.html\n"));
    assert!(!out.contains('\x1b'), "no colours without a terminal");

    let out = desk.done(&["fn", "build", "pretty/index.js", "-o", "pretty.wasm"]);
    assert!(out.starts_with("pretty.wasm: "), "{out}");
    let out = desk.done(&["fn", "test", "pretty.wasm", "--request", "GET /old/a", "--json", "--repeat", "3"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["answer"]["status"], 301, "{out}");
    assert_eq!(report["answer"]["headers"][0][1], "/new/a", "{out}");
    assert_eq!(report["cpu"]["calls"], 3, "{out}");
    let out = desk.done(&["fn", "inspect", "pretty.wasm"]);
    assert!(out.contains("kind      a Lambda@Edge function\n"), "{out}");
}

#[test]
fn every_template_without_a_toolchain_is_valid_at_its_event() {
    let desk = Desk::new();
    for (name, language, event, kind) in [
        ("a", "javascript", "origin-request", "lambda-edge"),
        ("b", "javascript", "origin-response", "lambda-edge"),
        ("c", "javascript", "viewer-request", "cloudfront"),
        ("d", "javascript", "viewer-response", "cloudfront"),
        ("e", "wat", "viewer-request", "native"),
        ("f", "wat", "origin-response", "native"),
    ] {
        desk.done(&["fn", "new", name, "--language", language, "--event", event, "--kind", kind]);
        let file = format!("{name}/{}", if language == "wat" { "function.wat" } else { "index.js" });
        let event_file = format!("{name}/event.json");
        let out = desk.done(&["fn", "test", &file, "--event", &event_file, "--mode", "strict"]);
        assert!(out.contains(event) && out.contains("valid: goes on with "), "{out}");
    }
}

#[test]
fn templates_build_where_their_toolchain_is() {
    let desk = Desk::new();
    for (language, file) in [
        ("c", "function.c"),
        ("zig", "function.zig"),
        ("go", ""),
        ("python", "lambda_function.py"),
        ("typescript", "index.ts"),
        ("assemblyscript", ""),
    ] {
        desk.done(&["fn", "new", language, "--language", language]);
        let path = format!("{language}/{file}");
        let (code, out, err) =
            desk.run(&["fn", "test", &path, "--event", &format!("{language}/event.json"), "--cpu", "1s"]);
        if err.contains("which is not installed") || err.contains("TypeScript needs esbuild") {
            assert_eq!(code, 1, "{err}");
            assert!(toolchains().is_empty(), "{language}: functions/samples/build.sh has installed it");
            continue;
        }
        assert!(code == 0 && out.contains("+ GET /docs/index.html\n"), "{language}\n{out}\n{err}");
    }
}

/// Lambda@Edge in Python, built by the command: what goes wrong has AWS's name, and Python's own traceback.
#[test]
fn python_functions_fail_as_lambda_says() {
    let desk = Desk::new();
    std::fs::create_dir(desk.at("f")).unwrap();
    desk.write(
        "f/lambda_function.py",
        "def check(uri):\n    if uri == '/raises':\n        raise ValueError('oh')\n\n\n\
         def lambda_handler(event, context):\n    cf = event['Records'][0]['cf']\n    print('sees', cf['request']['uri'])\n    \
         check(cf['request']['uri'])\n    if cf['request']['uri'] == '/invalid':\n        return {'status': '99'}\n    \
         if 'response' in cf:\n        cf['response']['headers']['x-a'] = [{'key': 'X-A', 'value': '1'}]\n        \
         return cf['response']\n    return cf['request']\n",
    );
    let (code, out, err) = desk.run(&["fn", "build", "f/lambda_function.py", "-o", "f.wasm"]);
    if err.contains("which is not installed") {
        assert!(code == 1 && toolchains().is_empty(), "{err}");
        return;
    }
    assert_eq!(code, 0, "{out}{err}");
    for (request, at, code, says) in [
        ("/raises", "viewer-request", 1, &["ValueError: oh", "LambdaExecutionError", "line 3, in check"][..]),
        ("/invalid", "viewer-request", 1, &["LambdaValidationError"]),
        ("/a", "viewer-response", 0, &["+ x-a: 1", "sees /a"]),
        ("/a", "origin-request", 0, &["valid: goes on unchanged"]),
    ] {
        let (got, out, err) = desk.run(&["fn", "test", "f.wasm", "--request", request, "--at", at, "--cpu", "5s"]);
        assert!(got == code && says.iter().all(|words| out.contains(words)), "{request} {at}\n{out}\n{err}");
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let desk = Desk::new();
    desk.write("syntax.js", "let a = 1;\nlet b = a +* 2;\n");
    desk.write("more.js", "exports.handler = async (event) => { return; }}\n");
    desk.write("open.js", "function handler(event) {\n  return event.request\n");
    desk.write("open.mjs", "export const handler = async () => {\n  let a = 1\n");
    desk.write("outside.js", "if (1) return;\nlet a = ;\n");
    desk.write("throws.js", "exports.handler = async () => {\n  throw new TypeError('oh');\n};\n");
    desk.write("via.js", "exports.handler = async () => ({ status: '99' });\n");
    desk.write("broken.wat", "(module (func");
    desk.write("empty.wat", "(module)");
    desk.write("event.json", "{}");
    desk.write("text.wasm", "hello");
    desk.write("none.wasm", "");
    desk.write("typed.js", "const x: number = 1;\nexport const handler = async (event) => event;\n");
    desk.write(
        "shown.js",
        "function handler(event) { event.response.headers['x-a'] = { value: '1' }; return event.response; }\n",
    );
    desk.write("many.js", "exports.handler = async () => ({ status: '200', headers: Object.fromEntries(Array.from(Array(100000), (_, n) => \
                           [`x-${n}`, [{ value: 'v' }]])) });\n");
    std::fs::create_dir(desk.at("wat")).unwrap();
    desk.write("wat/function.wat", "(module)");
    for (line, code, says) in [
        (
            ["fn", "build", "syntax.js"].as_slice(),
            1,
            "error: syntax.js:2:1: SyntaxError: unexpected token in expression: '*'\n  2 | let b = a +* 2;\n    | ^\n",
        ),
        // In no words of what the file is wrapped in.
        (&["fn", "build", "more.js"], 1, "error: more.js:1:24: SyntaxError: unexpected token in expression: '}'"),
        (
            &["fn", "build", "open.js"],
            1,
            "error: open.js:2:23: SyntaxError: the file ends where something is not closed",
        ),
        (
            &["fn", "build", "open.mjs"],
            1,
            "error: open.mjs:2:12: SyntaxError: the file ends where something is not closed",
        ),
        (&["fn", "build", "outside.js"], 1, "error: outside.js:2:1: SyntaxError: unexpected token in expression: ';'"),
        (
            &["fn", "test", "throws.js"],
            1,
            "failed: TypeError: oh\n  the viewer gets 503, x-cache says LambdaExecutionError",
        ),
        (&["fn", "test", "via.js"], 1, "the viewer gets 502, x-cache says LambdaValidationError"),
        (&["fn", "test", "broken.wat"], 1, "broken.wat:1:14"),
        (&["fn", "test", "empty.wat"], 1, "a core module must export memory, and a handler"),
        (
            &["fn", "test", "text.wasm"],
            2,
            "text.wasm: it is neither WebAssembly, which begins with \\0asm, nor its text",
        ),
        (&["fn", "inspect", "none.wasm"], 2, "none.wasm: it is empty"),
        (&["fn", "build", "typed.js"], 1, "this looks like TypeScript: name the file .ts"),
        (&["fn", "test", "shown.js"], 1, "note: it ran at viewer-request; to choose another event, say --at "),
        (&["fn", "build", "wat"], 2, "name the file itself: wat/function.wat"),
        (
            &["fn", "build", "throws.js", "-o", "none/x.wasm"],
            2,
            "error: none/x.wasm: No such file or directory (os error 2)\n",
        ),
        (&["fn", "test", "throws.js", "--status", "404"], 2, "viewer-request has no response"),
        (
            &["fn", "test", "many.js", "--cpu", "30s", "--timeout", "60s"],
            1,
            "failed validation: more members than a message has room for",
        ),
        (&["fn", "test", "none.js"], 2, "error: none.js: No such file"),
        (&["fn", "test", "throws.js", "--request", "GET no-slash"], 2, "is no path"),
        (&["fn", "new", "not a name"], 2, "is no name for a function"),
        (&["fn", "new", "x", "--kind", "cloudfront", "--event", "origin-request"], 2, "run at viewer-request and"),
        (&["fn", "test", "throws.js", "--event", "event.json"], 2, "\"request\": is missing"),
        (&["fn", "replay", "ID", "--dir", "."], 2, "no recording of ID in .: calls are recorded where"),
        (&["fn", "replay", "ID", "--dir", "none"], 2, "`record = \"1%\"`"),
    ] {
        let (got, out, err) = desk.run(line);
        assert!(got == code && (out.contains(says) || err.contains(says)), "{line:?} {got}\n{out}\n{err}");
    }
}

/// A component that has a handler for each of these events, which does nothing.
fn handling(events: &[&str]) -> String {
    let export = |event: &&str| format!("(func (export \"{event}\") (result i32) (i32.const 0))");
    format!("(module (memory (export \"memory\") 1) {})", events.iter().map(export).collect::<String>())
}

#[test]
fn where_it_ran_is_said_when_nobody_chose() {
    let desk = Desk::new();
    desk.write("one.js", "exports.handler = async (event) => event.Records[0].cf.request;\n");
    desk.write("two.wat", &handling(&["on-origin-request", "on-origin-response"]));
    desk.write("later.wat", &handling(&["on-origin-response"]));
    for (line, says) in [
        (
            &["one.js"][..],
            Some(
                "it ran at viewer-request; to choose another event, say --at origin-request or origin-response or viewer-response",
            ),
        ),
        (&["two.wat"], Some("it ran at origin-request; to choose another event, say --at origin-response")),
        (&["later.wat"], None),
        (&["one.js", "--at", "viewer-request"], None),
        (&["one.js", "--json"], None),
    ] {
        let out = desk.done(&[&["fn", "test"], line].concat());
        let note = out.lines().find_map(|line| line.strip_prefix("note: "));
        assert_eq!(note, says, "{line:?}\n{out}");
    }
}

#[test]
fn randomness_and_the_clock_repeat() {
    let desk = Desk::new();
    desk.write(
        "dice.js",
        "exports.handler = async (e) => {\n  const r = e.Records[0].cf.request;\n  \
         r.headers['x-dice'] = [{ value: `${Math.random()} ${require('crypto').randomBytes(4).toString('hex')} ${Date.now()}` }];\n  \
         return r;\n};\n",
    );
    let test = |seed: &str| {
        let out = desk.done(&["fn", "test", "dice.js", "--seed", seed, "--now", "2026-01-01"]);
        out.lines().find(|line| line.contains("x-dice")).unwrap().to_owned()
    };
    let first = test("1");
    assert_eq!(first, test("1"));
    assert_ne!(first, test("2"));
    assert!(first.ends_with(" 1767225600000"), "{first}");
}

#[test]
fn a_function_reaches_what_it_was_given() {
    let desk = Desk::new();
    desk.write(
        "reach.js",
        "import cf from 'cloudfront';\nconst kvs = cf.kvs();\nasync function handler(event) {\n  \
         event.request.uri = '/' + await kvs.get('beta');\n  return event.request;\n}\n",
    );
    desk.write("flags.json", r#"{"data": [{"key": "beta", "value": "on"}]}"#);
    let out = desk.done(&["fn", "test", "reach.js", "--flavor", "cloudfront-2.0", "--kv", "flags=flags.json"]);
    assert!(out.contains("+ GET /on\n"), "{out}");
    desk.write("ask.mjs", "export const handler = async () => { await fetch('https://api.example/'); };\n");
    let (code, out, _) = desk.run(&["fn", "test", "ask.mjs"]);
    assert!(
        code == 1 && out.contains("was not granted") && out.contains("note: here grants are options: --config"),
        "{out}"
    );
}

/// As on a PoP, where it is built for its configuration: the top level runs once, when it is built.
#[test]
fn the_top_level_reads_the_configuration() {
    let desk = Desk::new();
    desk.write(
        "env.js",
        "const who = process.env.WHO;\nexports.handler = async (e) => {\n  \
         const r = e.Records[0].cf.request;\n  r.uri = '/' + who;\n  return r;\n};\n",
    );
    let out = desk.done(&["fn", "test", "env.js", "--config", "WHO=you"]);
    assert!(out.contains("+ GET /you\n") && !out.contains("its top level"), "{out}");
}

/// What a PoP would have written of a call of the function that `fn new pretty` writes.
fn recording(outcome: Outcome) -> Recording {
    let site = Site {
        pop: "FRA".into(),
        behavior: "*".into(),
        domain: "shop.example".into(),
        distribution: "E1".into(),
        origins: vec![],
        mode: Mode::Extended,
        include_body: false,
    };
    let event = include_str!("../../functions/templates/events/viewer-request.json");
    let given = Given { site, event: None, among: Vec::new(), now_ms: 1_767_225_600_000 };
    let (exchange, _) = testevent::read(event, given).unwrap();
    let mut recording = Recording::new("pretty", "abc", Api::LambdaEdge, None, Message::of(&exchange), Ok(&exchange));
    recording.outcome = outcome;
    recording
}

#[test]
fn a_recorded_call_runs_again() {
    let desk = Desk::new();
    desk.done(&["fn", "new", "pretty"]);
    std::fs::create_dir(desk.at("records")).unwrap();
    let edit = |name: &str| Change::Set("x-function".to_owned(), Raw::Text(name.to_owned()));
    let uri = Change::Uri("/docs/index.html".to_owned());
    for (id, name) in [("same", "pretty"), ("other", "ugly")] {
        let outcome = Outcome::Continue(vec![uri.clone(), edit(name)]);
        desk.write(&format!("records/{id}-0-pretty.json"), &recording(outcome).write());
    }
    let replay = |id: &str| desk.run(&["fn", "replay", id, "--dir", "records", "--function", "pretty/index.js"]);
    let (code, out, err) = replay("same");
    assert!(code == 0 && out.contains("the same outcome as recorded"), "{out}{err}");
    let (code, out, err) = replay("other");
    assert!(code == 1 && out.contains("- set x-function: ugly\n+ set x-function: pretty\n"), "{out}{err}");
    // As an event it brings its clock, too, and says where it runs.
    let recorded = ["fn", "test", "pretty/index.js", "--event", "records/same-0-pretty.json"];
    let out = desk.done(&recorded);
    assert!(out.contains("2026-01-01T00:00:00Z"), "{out}");
    for more in [["--now", "2026-02-02"], ["--at", "viewer-request"]] {
        let (code, _, err) = desk.run(&[&recorded[..], &more].concat());
        assert!(code == 2 && err.contains("leave out"), "{more:?}: {err}");
    }
    let (code, _, err) = desk.run(&["fn", "replay", "same", "--dir", "records"]);
    assert!(code == 2 && err.contains("name its file with --function"), "{err}");
}

#[test]
fn a_changed_function_is_served_soon() {
    let desk = Desk::new();
    desk.done(&["fn", "new", "hello", "--language", "wat"]);
    let (port, admin) = (free(), free());
    let mut dev = desk.command(&["dev", "--function", "hello/function.wat@viewer-request"]);
    dev.args(["--port", &port.to_string(), "--admin-port", &admin.to_string()]);
    let _dev = Running(dev.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until(|| get(port, "/asked").is_some_and(|text| text.contains("x-function: hello")));
    let source = std::fs::read_to_string(desk.at("hello/function.wat")).unwrap();
    let changed = Instant::now();
    desk.write("hello/function.wat", &source.replace("\"hello\"", "\"howdy\""));
    until(|| get(port, "/asked").is_some_and(|text| text.contains("x-function: howdy")));
    println!("served {:?} after it changed", changed.elapsed());
    // What does not load changes nothing.
    desk.write("hello/function.wat", "(module");
    std::thread::park_timeout(Duration::from_secs(1));
    assert!(get(port, "/asked").unwrap().contains("x-function: howdy"));
    assert!(Path::new(&desk.at("hello/event.json")).exists());
}

fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: dev.test\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it did not happen within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
