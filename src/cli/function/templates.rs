//! Templates: the files of a new project.
//!
//! In: language, contract, event, name. Out: paths and texts. Never: a path outside the project; the templates are whole,
//! working files, in which the name and the event are put in place.

use super::new::{Kind, Language};
use crate::hooks::Event;

/// One file of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Below the project's directory.
    pub path: &'static str,
    pub text: String,
}

/// What stands in a template where the function's name belongs.
const NAME: &str = "NAME";

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../../functions/templates/", $path))
    };
}

macro_rules! sdk {
    ($path:literal) => {
        include_str!(concat!("../../../functions/sdk/", $path))
    };
}

/// The function itself, for request events and for response events.
type Pair = (&'static str, &'static str);

const LAMBDA: Pair = (template!("javascript/lambda-edge-request.js"), template!("javascript/lambda-edge-response.js"));
const CLOUDFRONT: Pair =
    (template!("javascript/cloudfront-request.js"), template!("javascript/cloudfront-response.js"));
const TYPESCRIPT: Pair = (template!("typescript/request.ts"), template!("typescript/response.ts"));
const PYTHON: Pair = (template!("python/request.py"), template!("python/response.py"));
const RUST: Pair = (template!("rust/request.rs"), template!("rust/response.rs"));
const C: Pair = (template!("c/request.c"), template!("c/response.c"));
const ZIG: Pair = (template!("zig/request.zig"), template!("zig/response.zig"));
const GO: Pair = (template!("go/request.go"), template!("go/response.go"));
const ASSEMBLYSCRIPT: Pair = (template!("assemblyscript/request.ts"), template!("assemblyscript/response.ts"));
const WAT: Pair = (template!("wat/request.wat"), template!("wat/response.wat"));

/// All files of a project.
pub fn files(language: Language, kind: Kind, event: Event, name: &str) -> Vec<File> {
    let (function, pair, beside) = parts(language, kind);
    let source = if event.is_request() { pair.0 } else { pair.1 };
    let mut files = vec![File { path: function, text: filled(source, event, name) }];
    files.extend(beside.iter().map(|&(path, text)| {
        // The SDK's own files are what they are.
        let text = if path.starts_with("rimward/") { text.to_owned() } else { text.replace(NAME, name) };
        File { path, text }
    }));
    files.push(File { path: "event.json", text: sample(kind, event).to_owned() });
    files
}

/// What the commands are given: the file of a script, the directory of a project that is compiled.
pub fn entry(language: Language) -> &'static str {
    match language {
        Language::Javascript => "index.js",
        Language::Typescript => "index.ts",
        Language::Python => "lambda_function.py",
        Language::C => "function.c",
        Language::Zig => "function.zig",
        Language::Wat => "function.wat",
        Language::Rust | Language::Go | Language::Assemblyscript => "",
    }
}

/// What has to be installed into the project before anything else.
pub fn before(language: Language) -> Option<&'static str> {
    matches!(language, Language::Typescript | Language::Assemblyscript).then_some("npm install")
}

/// Path and texts of the function; the files beside it.
fn parts(language: Language, kind: Kind) -> (&'static str, Pair, &'static [Pair]) {
    match (language, kind) {
        (Language::Javascript, Kind::CloudFront) => ("index.js", CLOUDFRONT, &[]),
        (Language::Javascript, _) => ("index.js", LAMBDA, &[]),
        (Language::Typescript, _) => {
            ("index.ts", TYPESCRIPT, &[("package.json", template!("typescript/package.json"))])
        }
        (Language::Python, _) => ("lambda_function.py", PYTHON, &[]),
        (Language::C, _) => ("function.c", C, &[("rimward/rimward.h", sdk!("c/rimward.h"))]),
        (Language::Zig, _) => ("function.zig", ZIG, &[("rimward/rimward.zig", sdk!("zig/rimward.zig"))]),
        (Language::Wat, _) => ("function.wat", WAT, &[]),
        (Language::Go, _) => (
            "main.go",
            GO,
            &[
                ("go.mod", template!("go/go.mod.txt")),
                ("rimward/go.mod", sdk!("go/go.mod")),
                ("rimward/config.go", sdk!("go/config.go")),
                ("rimward/edge.go", sdk!("go/edge.go")),
                ("rimward/export.go", sdk!("go/export.go")),
            ],
        ),
        (Language::Assemblyscript, _) => (
            "index.ts",
            ASSEMBLYSCRIPT,
            &[
                ("package.json", template!("assemblyscript/package.json")),
                ("rimward/rimward.ts", sdk!("assemblyscript/rimward.ts")),
            ],
        ),
        // The SDK looks for its WIT two directories up.
        (Language::Rust, _) => (
            "src/lib.rs",
            RUST,
            &[
                ("Cargo.toml", template!("rust/package.toml")),
                (".cargo/config.toml", template!("rust/config.toml")),
                ("rimward/sdk/rust/Cargo.toml", template!("rust/sdk.toml")),
                ("rimward/sdk/rust/src/lib.rs", sdk!("rust/src/lib.rs")),
                ("rimward/sdk/rust/src/arena.rs", sdk!("rust/src/arena.rs")),
                ("rimward/sdk/rust/src/export.rs", sdk!("rust/src/export.rs")),
                ("rimward/sdk/rust/src/ext.rs", sdk!("rust/src/ext.rs")),
                ("rimward/wit/edge.wit", include_str!("../../../functions/wit/edge.wit")),
            ],
        ),
    }
}

/// A template, which is written for a viewer event, for this event and name.
fn filled(template: &str, event: Event, name: &str) -> String {
    let original = if event.is_request() { Event::ViewerRequest } else { Event::ViewerResponse };
    let snake = |event: Event| event.as_str().replace('-', "_");
    let text = template.replace(NAME, name);
    let text = text.replace(moment(original), moment(event)).replace(original.as_str(), event.as_str());
    text.replace(&snake(original), &snake(event))
}

/// When an event's functions run.
fn moment(event: Event) -> &'static str {
    match event {
        Event::ViewerRequest => "runs before the cache is asked",
        Event::OriginRequest => "runs before an origin is asked",
        Event::OriginResponse => "runs when an origin has answered",
        Event::ViewerResponse => "runs before the viewer is answered",
    }
}

/// An event to test with.
fn sample(kind: Kind, event: Event) -> &'static str {
    match (kind, event) {
        (Kind::CloudFront, Event::ViewerResponse) => template!("events/cloudfront-viewer-response.json"),
        (Kind::CloudFront, _) => template!("events/cloudfront-viewer-request.json"),
        (_, Event::ViewerRequest) => template!("events/viewer-request.json"),
        (_, Event::OriginRequest) => template!("events/origin-request.json"),
        (_, Event::OriginResponse) => template!("events/origin-response.json"),
        (_, Event::ViewerResponse) => template!("events/viewer-response.json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_project_names_its_function_and_its_event() {
        for language in Language::value_variants() {
            for event in Event::ALL {
                let files = files(*language, Kind::Native, event, "my-function");
                let function = &files[0];
                assert!(function.text.contains(event.as_str()), "{language:?} {event}");
                assert!(function.text.contains(moment(event)), "{language:?} {event}");
                assert!(files.iter().all(|file| file.path.starts_with("rimward/") || !file.text.contains(NAME)));
                let sample: serde_json::Value = serde_json::from_str(&files.last().unwrap().text).unwrap();
                let config = &sample["Records"][0]["cf"]["config"];
                assert_eq!(config["eventType"], event.as_str());
                assert!(entry(*language).is_empty() || entry(*language) == function.path, "{language:?}");
            }
        }
        for event in [Event::ViewerRequest, Event::ViewerResponse] {
            let files = files(Language::Javascript, Kind::CloudFront, event, "f");
            let sample: serde_json::Value = serde_json::from_str(&files[1].text).unwrap();
            assert_eq!(sample["context"]["eventType"], event.as_str());
        }
    }

    #[test]
    fn rust_exports_the_event_asked_for() {
        let files = files(Language::Rust, Kind::Native, Event::OriginResponse, "f");
        assert!(files[0].text.contains("hooks!(origin_response);"), "{}", files[0].text);
    }
}
