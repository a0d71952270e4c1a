//! Mistakes: files and options of `rimward fn` that cannot be used, and what is said of them.

use crate::{Desk, handling};

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let desk = Desk::new();
    let one = "exports.handler = async (event) => event.Records[0].cf.request;\n";
    for (path, text) in [
        ("one.js", one),
        ("ONE.JS", one),
        ("a.jsx", one),
        ("a.tsx", one),
        ("a.rs", "fn main() {}\n"),
        ("a.go", "package main\n"),
        ("bom.wat", "\u{feff}(module)"),
        ("bare.wat", "(component)"),
        ("nothing.wat", "(module)"),
        ("trunc.wasm", "\0asm\u{1}\0\0\0garbage"),
        ("blank.js", ""),
        ("handlr.js", "exports.handlr = async () => ({ status: '200' });\n"),
        ("endless.js", "for (;;);\n"),
        ("wrong.js", "let a = +* 2;\n"),
        ("empty.json", "{}"),
        ("later.wat", &handling(&["on-origin-response"])),
    ] {
        desk.write(path, text);
    }
    desk.write("deep.json", &format!("{{\"a\": {}{}}}", "[".repeat(200), "]".repeat(200)));
    for (dir, files) in [("many", &["a.d.ts", ".b.js", "c.mts", "d.cts", "e.js", "f.js"][..]), ("types", &["a.d.ts"])] {
        std::fs::create_dir(desk.at(dir)).unwrap();
        files.iter().for_each(|file| desk.write(&format!("{dir}/{file}"), ""));
    }
    std::fs::create_dir(desk.at("list")).unwrap();
    desk.write("list/package.json", "[]");
    std::fs::create_dir(desk.at("app")).unwrap();
    desk.write("app/index.js", "exports.handler = async () => ({ status: '200' });");
    std::os::unix::fs::symlink(desk.at("one.js"), desk.at("link")).unwrap();
    let itself = "this is the source itself: name another file with -o";
    for (line, code, says) in [
        (&["fn", "build", "one.js", "-o", "/proc/x.wasm"][..], 2, "error: /proc/x.wasm: "),
        (&["fn", "build", "one.js", "-o", "."], 2, "error: .: this is a directory: "),
        (&["fn", "build", "one.js", "-o", "one.js"], 2, itself),
        (&["fn", "build", "one.js", "-o", "many/../one.js"], 2, itself),
        (&["fn", "build", "one.js", "-o", "link"], 2, itself),
        (&["fn", "build", "link", "-o", "one.js"], 2, itself),
        (&["fn", "build", "many"], 2, "name the file itself: many/c.mts or many/d.cts or many/e.js …\n"),
        (&["fn", "build", "types"], 2, "name the file of a function\n"),
        (&["fn", "build", "types/a.d.ts"], 2, "it declares types and has no code"),
        (&["fn", "build", "app", "-o", "app/index.js"], 2, "app/index.js: this is no WebAssembly, and would be lost"),
        (&["fn", "build", "one.js", "-o", "-"], 2, "-: standard output is no file"),
        (&["fn", "build", "one.js", "-o", "/dev/null"], 2, "/dev/null: this is no WebAssembly"),
        (&["fn", "inspect", "/dev/zero"], 2, "/dev/zero: neither a file nor a directory"),
        (&["fn", "build", "bare.wat"], 1, "error: bare.wat: function 'bare' exports no handler"),
        (&["fn", "test", "nothing.wat"], 1, "error: nothing.wat: not a usable wasm file: "),
        (&["fn", "inspect", "trunc.wasm"], 1, "error: trunc.wasm: not a usable wasm file: "),
        (&["fn", "test", "blank.js"], 1, "error: blank.js: no handler: "),
        (&["fn", "build", "handlr.js"], 1, "error: handlr.js: no handler: "),
        (&["fn", "test", "one.js", "--flavor", "cloudfront-2.0"], 1, "error: one.js: no handler: "),
        (&["fn", "test", "endless.js"], 1, "error: endless.js: the top level of the function runs longer"),
        (&["fn", "test", "wrong.js"], 1, "error: wrong.js:1:"),
        (&["fn", "test", "list"], 2, "error: list/package.json:1:1: expected an object"),
        (&["fn", "test", "one.js", "--request", "FOO /x#c"], 2, "a path has no '#'"),
        (&["fn", "test", "one.js", "--cpu", "0ms"], 2, "'--cpu <TIME>': must be more than 0"),
        (&["fn", "test", "one.js", "--timeout", "0"], 2, "'--timeout <TIME>': must be more than 0"),
        (&["fn", "new", "1abc", "--language", "rust"], 2, "'1abc' is no name for a function in Rust: letters, "),
        (&["fn", "new", "my.fn", "--language", "rust"], 2, "'my.fn' is no name for a function in Rust: letters, "),
        (&["fn", "new", "--", "-y"], 2, "'-y' is no name for a function: 1 to 64 of "),
        (&["fn", "new", ".."], 2, "'..' is no name for a function: 1 to 64 of "),
        (&["fn", "replay", "many"], 2, "error: many: this is a directory: name the id of a request"),
        (&["fn", "test", "ONE.JS"], 2, "name it ONE.js"),
        (&["fn", "test", "a.jsx"], 2, "JSX is not built: name it .js if it has none"),
        (&["fn", "test", "a.tsx"], 2, "JSX is not built: name it .ts if it has none"),
        (&["fn", "test", "a.rs"], 2, "`rimward fn new NAME --language rust`"),
        (&["fn", "inspect", "a.go"], 2, "`rimward fn new NAME --language go`"),
        (&["fn", "test", "bom.wat"], 2, "bom.wat: it begins with a byte order mark: save it as UTF-8 without one"),
        (&["fn", "test", "one.js", "--event", "deep.json"], 2, "deep.json: nested too deeply at line 1"),
        (&["fn", "replay", "one.js"], 2, "one.js: it is no recording of a call (not JSON: expected value"),
        (&["fn", "replay", "empty.json"], 2, "empty.json: it is no recording of a call (missing field `function`"),
        (&["fn", "test", "one.js", "--at", "viewer_request"], 2, "a similar value exists: 'viewer-request'"),
        (&["fn", "new", "x", "--event", "origin-respnse"], 2, "a similar value exists: 'origin-response'"),
        (&["fn", "test", "one.js", "--flavor", "cloudfront"], 2, "a similar value exists: 'cloudfront-2.0'"),
        (&["fn", "test", "one.js", "--status", "404"], 2, "or say --at origin-response or viewer-response\n"),
        (&["fn", "test", "later.wat", "--at", "viewer-request", "--status", "404"], 2, "or say --at origin-response\n"),
    ] {
        let (got, out, err) = desk.run(line);
        // A temporary file is nobody's business.
        assert!(got == code && err.contains(says) && !err.contains(".tmp"), "{line:?} {got}\n{out}\n{err}");
    }
    assert_eq!(std::fs::read_to_string(desk.at("one.js")).unwrap(), one);
    assert!(std::fs::read_to_string(desk.at("app/index.js")).unwrap().starts_with("exports"));
}

#[test]
fn this_directory_is_a_project_of_its_own_name() {
    let desk = Desk::new();
    std::fs::create_dir(desk.at("emp")).unwrap();
    let output = desk.command(&["fn", "new", "."]).current_dir(desk.at("emp")).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && out.contains("rimward fn test ./index.js --event ./event.json\n"), "{out}");
    let out = desk.done(&["fn", "test", "emp/index.js", "--event", "emp/event.json"]);
    assert!(out.contains("+ x-function: emp\n"), "{out}");
}
