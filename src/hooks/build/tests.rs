//! Tests of the builder: source files in, components or errors with their place out.

use super::*;

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
