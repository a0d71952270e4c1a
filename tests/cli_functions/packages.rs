//! Packages: a function that is a directory, with what npm put below it.

use crate::Desk;

/// Packages in node_modules, as CommonJS and as ES modules, are part of what is built; a bundler is not needed.
#[test]
fn a_directory_is_built_with_its_packages() {
    let desk = Desk::new();
    for (path, text) in [
        (
            "app/package.json",
            r#"{"name": "app", "main": "src/index.js", "dependencies": {"pretty": "1", "@own/slug": "1"}}"#,
        ),
        (
            "app/src/index.js",
            "const { pretty } = require('pretty');\nexports.handler = async (event) => {\n  \
             const request = event.Records[0].cf.request;\n  request.uri = pretty(request.uri);\n  return request;\n};\n",
        ),
        ("app/node_modules/pretty/package.json", r#"{"name": "pretty", "version": "1.0.0", "main": "./lib"}"#),
        (
            "app/node_modules/pretty/lib/index.js",
            "const slug = require('@own/slug');\n\
             exports.pretty = (uri) => slug.of(uri) + require('./suffix.json').suffix;\n",
        ),
        ("app/node_modules/pretty/lib/suffix.json", r#"{"suffix": "/index.html"}"#),
        (
            "app/node_modules/@own/slug/package.json",
            r#"{"name": "@own/slug", "exports": {"import": "./no.mjs", "require": "./slug.cjs"}}"#,
        ),
        ("app/node_modules/@own/slug/slug.cjs", "exports.of = (uri) => uri.toLowerCase();\n"),
        ("esm/package.json", r#"{"name": "esm", "type": "module", "main": "index.js"}"#),
        (
            "esm/index.js",
            "import slug, { end } from '@own/slug';\nexport const handler = async (event) => {\n  \
             const request = event.Records[0].cf.request;\n  request.uri = slug(request.uri) + end;\n  return request;\n};\n",
        ),
        (
            "esm/node_modules/@own/slug/package.json",
            r#"{"name": "@own/slug", "exports": {"import": "./slug.mjs", "require": "./no.cjs"}}"#,
        ),
        (
            "esm/node_modules/@own/slug/slug.mjs",
            "export default (uri) => uri.toLowerCase();\nexport const end = '/index.html';\n",
        ),
    ] {
        std::fs::create_dir_all(desk.at(path).parent().unwrap()).unwrap();
        desk.write(path, text);
    }
    for dir in ["app", "esm"] {
        let wasm = format!("{dir}.wasm");
        desk.done(&["fn", "build", dir, "-o", &wasm]);
        std::fs::rename(desk.at(dir), desk.at("gone")).unwrap();
        let out = desk.done(&["fn", "test", &wasm, "--request", "GET /Docs"]);
        assert!(out.contains("+ GET /docs/index.html\n"), "{dir}: all of it is in the component\n{out}");
        std::fs::rename(desk.at("gone"), desk.at(dir)).unwrap();
    }
    std::fs::remove_file(desk.at("app/node_modules/@own/slug/slug.cjs")).unwrap();
    let (code, _, err) = desk.run(&["fn", "build", "app"]);
    assert!(
        code == 1 && err.contains("@own/slug") && err.contains("node_modules/pretty/lib/index.js:1"),
        "{code} {err}"
    );
}
