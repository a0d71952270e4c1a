//! Tests of the builder: source files in, components or errors with their place out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wasmparser::{Parser, Payload};

use super::*;
use crate::hooks::lines;

fn builder() -> &'static Builder {
    static BUILDER: std::sync::OnceLock<Builder> = std::sync::OnceLock::new();
    BUILDER.get_or_init(|| Builder::new(ENGINE))
}

fn text(name: &str, text: &str) -> Source {
    Source::Text { name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn builds_the_same_bytes_for_the_same_source() {
    let source = text("a.js", "exports.handler = async (event) => event.Records[0].cf.request;");
    let one = builder().build(&source, Flavor::Auto, Mode::Extended).unwrap();
    let two = builder().build(&source, Flavor::Auto, Mode::Extended).unwrap();
    assert_eq!(one.api, Api::LambdaEdge);
    assert!(one.component == two.component);
}

/// A fleet builds at each PoP, and a recording is replayed on another day.
#[test]
fn what_is_built_depends_on_the_day_only_where_its_top_level_reads_it() {
    for (code, same) in [
        ("exports.handler = async (event) => ({ status: 200, body: String(Date.now() + Math.random()) });", true),
        ("const began = Date.now(); exports.handler = async () => ({ status: 200, body: String(began) });", false),
    ] {
        let bundle = Bundle::read(&text("a.js", code)).unwrap().encode(Flavor::LambdaEdge, false, false);
        let [one, two] = [1_795_737_600_000, 1_795_824_000_000].map(|now_ms| {
            let world = World { config: Some("{}".to_owned()), now_ms };
            builder().snapshotter().unwrap().evaluate(&bundle, &world).unwrap().module
        });
        assert!(!one.is_empty());
        assert_eq!(one == two, same, "{code}");
    }
}

#[test]
fn shows_where_the_error_is() {
    for (name, source, want) in [
        ("a.js", "exports.handler = 1", "no handler"),
        ("a.js", "\n\nfoo();", "a.js:3:1: ReferenceError: foo is not defined\n  3 | foo();\n    | ^"),
        ("a.js", "let a = 1;\nlet b = a +* 2;", "a.js:2:"),
        ("a.mjs", "import x from './x.mjs';", "Cannot find module './x.mjs'"),
        ("a.js", "for (;;);", "runs longer"),
    ] {
        let error = builder().build(&text(name, source), Flavor::Auto, Mode::Extended).unwrap_err();
        assert!(error.to_string().contains(want), "{source}: {error}");
    }
}

#[test]
fn a_module_that_is_not_there_comes_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("store/lodash/index.js", "");
    write("f/lib.js", "");
    write("f/node_modules/@s/other.js", "");
    for (link, to) in
        [("f/node_modules/lodash", "store/lodash"), ("f/node_modules/@s/p", "store"), ("f/own.js", "f/lib.js")]
    {
        std::os::unix::fs::symlink(dir.path().join(to), dir.path().join(link)).unwrap();
    }
    let file = "the function is this one file: name its directory instead";
    for (what, spec, want) in [
        ("f/index.js", "./lib", file),
        ("f/index.js", "lodash", file),
        ("f", "lodash", "node_modules/lodash is a symbolic link"),
        ("f", "lodash/fp", "node_modules/lodash is a symbolic link"),
        ("f", "@s/p", "node_modules/@s/p is a symbolic link"),
        ("f", "./own", "own.js is a symbolic link"),
        ("f", "./none", "Cannot find module './none' (asked for by index.js)"),
    ] {
        write("f/index.js", &format!("require('{spec}'); exports.handler = async () => ({{ status: '200' }});"));
        let source = Source::Path(dir.path().join(what));
        let error = builder().build(&source, Flavor::Auto, Mode::Extended).unwrap_err().to_string();
        assert!(error.contains("Cannot find module '") && error.contains(want), "{what} {spec}: {error}");
        assert_eq!(error.contains("(asked for by index.js); "), spec != "./none", "{what} {spec}: {error}");
    }
}

/// `two.ts` beside the tests of `hooks/lines`, as esbuild writes it.
fn compiled() -> Bundle {
    let map = STANDARD.encode(include_str!("../lines/tests/two.js.map"));
    let out =
        format!("{}//# sourceMappingURL=data:application/json;base64,{map}\n", include_str!("../lines/tests/two.js"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hooks/lines/tests");
    Bundle::compiled("two.ts".to_owned(), BTreeMap::new(), typescript::taken(out, Path::new("two.ts"), root))
}

#[test]
fn what_was_compiled_is_shown_as_it_was_written() {
    let early = [("EARLY".to_owned(), "1".to_owned())];
    let error = builder().make(&compiled(), Flavor::Auto, Mode::Extended, Some(&early)).unwrap_err();
    let want = format!(
        "lib/pick.ts:8:56: RangeError: 🚧 no way to /way\n  8 |             throw new RangeError(`🚧 no way to \
         ${{choice.path}}`);\n    | {}^\n    at pick (lib/pick.ts:12:27)\n    at two.ts:5:24\n    \
         at apply (lib/deep.ts:2:20)\n    at pick (two.ts:5:12)\n    at two.ts:9:5",
        " ".repeat(55)
    );
    assert_eq!(error.to_string(), want);
    let error = builder().make(&compiled(), Flavor::CloudFront1, Mode::Strict, None).unwrap_err().to_string();
    assert!(error.contains("lib/pick.ts:6:5: const needs runtime 2.0\n  6 |     const descend: Inner"), "{error}");
    // Lines of esbuild's own have no other place.
    assert!(error.contains("two.js:11:10: let needs runtime 2.0"), "{error}");
}

#[test]
fn a_component_carries_the_map_of_what_was_compiled() {
    let make = |bundle: &Bundle| builder().make(bundle, Flavor::Auto, Mode::Extended, Some(&[])).unwrap().component;
    let map = |component: &[u8]| {
        Parser::new(0).parse_all(component).find_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) if section.name() == lines::SECTION => Some(section.data().to_vec()),
            _ => None,
        })
    };
    let bundle = compiled();
    let component = make(&bundle);
    assert!(component == make(&compiled()));
    assert_eq!(map(&component).unwrap(), bundle.lines);
    assert!(!String::from_utf8(bundle.lines).unwrap().contains(env!("CARGO_MANIFEST_DIR")));
    let mut plain = compiled();
    plain.lines.clear();
    assert_eq!(map(&make(&plain)), None);
}
