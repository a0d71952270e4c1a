//! Inspect: what a function is, handles and needs.
//!
//! In: a file. Out: text, with the tables to paste into a configuration. Never: a call.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::local::{Local, Settings};
use super::{Flavor, FnError, Mode, Verdict, report, source};
use crate::cli::table;
use crate::config::compiled::{FetchGrant, Grants, KvGrant};
use crate::config::secret::Secret;
use crate::hooks::Event;
use crate::hooks::engine::{Budget, Made, Shape, component};

/// Memory that a function may begin with.
const MEMORY: usize = 4 << 30;

/// Say what a function handles and needs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward fn inspect pretty-urls.wasm\n  \
    rimward fn inspect index.js         builds it first")]
pub struct Inspect {
    /// A wasm file, or a source
    pub path: PathBuf,
    /// What a JavaScript file is
    #[arg(long, value_enum, default_value_t)]
    pub flavor: Flavor,
}

/// What a component says of itself.
#[derive(Debug)]
pub struct Inspected<'s> {
    name: String,
    file: String,
    shape: &'s Shape,
}

/// An interface of the contract that needs a grant, and how the grant is written.
const GRANTS: [(&str, &str); 4] = [
    ("secrets", "secrets = { NAME = \"env:VARIABLE\" }"),
    ("kv", "kv = [\"STORE\"]"),
    ("geo", "geo = true"),
    ("fetch", "fetch = { allow = [\"HOST\"] }"),
];
const PACKAGE: &str = "rimward:edge/";

// === impl Inspect ===
impl Inspect {
    pub fn run(&self, out: &mut impl Write) -> Result<Verdict, FnError> {
        let wasm = source::wasm(&self.path, self.flavor.into(), Mode::Extended.into(), None)?;
        let (binary, shape) = component(&wasm.bytes).map_err(|error| FnError::engine(&self.path, error))?;
        let name = source::name(&self.path);
        let compiled = compile(&name, &self.path, &wasm.bytes, &shape)?;
        writeln!(out, "{name}  {}", self.path.display())?;
        writeln!(out, "version   {}", compiled.version)?;
        writeln!(out, "kind      {}", kind(&shape))?;
        let inspected = Inspected::of(&name, &self.path, &shape);
        let core = table::bytes(shape.largest as f64);
        writeln!(out, "size      {} (largest core module {core})", table::bytes(binary.len() as f64))?;
        let (size, took) = (table::bytes(compiled.size as f64), report::time(compiled.took));
        writeln!(out, "compiled  {size}, in {took}; a PoP does that once, aside")?;
        inspected.write(out)?;
        for note in &wasm.notes {
            writeln!(out, "note: {note}")?;
        }
        Ok(Verdict::Good)
    }
}

// === impl Inspected ===
impl<'s> Inspected<'s> {
    pub fn of(name: &str, path: &Path, shape: &'s Shape) -> Self {
        Inspected { name: name.to_owned(), file: path.display().to_string(), shape }
    }

    /// Whether an event or an origin can run it.
    pub fn runs(&self) -> bool {
        let origin = |export: &String| export.starts_with("wasi:http/incoming-handler@");
        self.shape.exports.iter().any(origin) || !events(self.shape).is_empty()
    }

    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let events = events(self.shape);
        let names: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
        writeln!(out, "handles   {}", if names.is_empty() { "nothing".to_owned() } else { names.join(", ") })?;
        let imports: Vec<&str> = self.shape.imports.iter().map(|import| short(import)).collect();
        writeln!(out, "imports   {}", if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") })?;
        if let Some(Made { runtime, source, engine, .. }) = &self.shape.made {
            let said = [("from", source), ("for", runtime), ("engine", engine)];
            let said = said.iter().filter_map(|(word, value)| Some(format!("{word} {}", brief(value.as_deref()?))));
            writeln!(out, "made      {}", said.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(out, "\n{}", self.toml(&events))
    }

    /// What to put into a configuration.
    fn toml(&self, events: &[Event]) -> String {
        let mut toml = format!("[[function]]\nname = {:?}\nfile = {:?}\n", self.name, self.file);
        let needed: Vec<&str> = GRANTS
            .iter()
            .filter(|(interface, _)| self.shape.imports.iter().any(|import| interface_of(import) == Some(interface)))
            .map(|(_, grant)| *grant)
            .collect();
        if !needed.is_empty() {
            toml.push_str(&format!("[function.grants]\n{}\n", needed.join("\n")));
        } else if self.shape.imports.iter().any(|import| interface_of(import) == Some("dynamic")) {
            toml.push_str("# Its code says what else it needs: [function.grants] has secrets, kv, geo and fetch.\n");
        }
        let event = events.first().map_or("viewer_request".to_owned(), |event| event.as_str().replace('-', "_"));
        toml.push_str(&format!("\n# in the [[behavior]] it is for\n[behavior.hooks]\n{event} = {:?}\n", self.name));
        toml
    }
}

struct Compiled {
    version: String,
    size: u64,
    took: Duration,
}

/// Compiles it as a PoP does, into a directory of its own.
fn compile(name: &str, path: &Path, wasm: &[u8], shape: &Shape) -> Result<Compiled, FnError> {
    let dir = tempfile::tempdir().map_err(|error| FnError::Start(error.to_string()))?;
    let budget = Budget { cpu: Duration::MAX, timeout: Duration::MAX, memory: MEMORY };
    let settings = Settings {
        flavor: Flavor::Auto.into(),
        mode: Mode::Extended.into(),
        budget,
        grants: everything(shape),
        stores: Vec::new(),
        geo: Vec::new(),
        seed: 0,
        artifacts: Some(dir.path().to_owned()),
    };
    let local = Local::load(name, path.to_owned(), wasm, settings)?;
    let entries = std::fs::read_dir(dir.path()).into_iter().flatten().flatten();
    let compiled = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "cwasm"));
    let size = compiled.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    Ok(Compiled { version: local.function.version().to_owned(), size, took: local.loaded })
}

/// What its imports need: it is only looked at.
fn everything(shape: &Shape) -> Grants {
    let asks = |interface| shape.imports.iter().any(|import| interface_of(import) == Some(interface));
    Grants {
        secrets: if asks("secrets") { vec![(String::new(), Secret::new(Vec::new()))] } else { Vec::new() },
        kv: if asks("kv") { vec![KvGrant { store: String::new(), write: false }] } else { Vec::new() },
        geo: true,
        fetch: Some(FetchGrant {
            allow: Vec::new(),
            private: Vec::new(),
            timeout: Duration::ZERO,
            requests: 0,
            body: 0,
        }),
        ..Grants::default()
    }
}

fn kind(shape: &Shape) -> &'static str {
    match &shape.made {
        Some(made) if made.api == "cloudfront" => "a CloudFront function",
        Some(_) => "a Lambda@Edge function",
        None if lambda(shape) => "a component that takes AWS's events",
        None if shape.exports("flat") => "a component of the flat world",
        None => "a native component",
    }
}

/// The events it has a handler for.
fn events(shape: &Shape) -> Vec<Event> {
    let cloudfront = shape.made.as_ref().is_some_and(|made| made.api == "cloudfront");
    let any = shape.exports("flat") || lambda(shape);
    let handles = |event: &Event| match cloudfront {
        true => event.is_viewer(),
        false => any || shape.exports(event.export()),
    };
    Event::ALL.into_iter().filter(handles).collect()
}

fn lambda(shape: &Shape) -> bool {
    shape.exports.iter().any(|export| interface_of(export) == Some("lambda-edge"))
}

/// "kv" of "rimward:edge/kv@0.1.0".
fn interface_of(import: &str) -> Option<&str> {
    import.strip_prefix(PACKAGE)?.split('@').next()
}

fn short(import: &str) -> &str {
    interface_of(import).unwrap_or(import)
}

/// A hash's beginning; other words whole.
fn brief(word: &str) -> &str {
    let hash = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    if hash { &word[..12] } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(shape: &Shape) -> String {
        let mut out = Vec::new();
        Inspected::of("f", Path::new("f.wasm"), shape).write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_to_paste() {
        let import = |name: &str| format!("{PACKAGE}{name}@0.1.0");
        let shape = Shape {
            component: true,
            imports: vec![import("types"), import("kv"), import("fetch")],
            exports: vec!["on-origin-request".to_owned(), "on-viewer-response".to_owned()],
            ..Shape::default()
        };
        let want = "\
handles   origin-request, viewer-response
imports   types, kv, fetch

[[function]]
name = \"f\"
file = \"f.wasm\"
[function.grants]
kv = [\"STORE\"]
fetch = { allow = [\"HOST\"] }

# in the [[behavior]] it is for
[behavior.hooks]
origin_request = \"f\"

";
        assert_eq!(text(&shape), want);
        assert_eq!(kind(&shape), "a native component");
    }

    #[test]
    fn events_by_what_is_exported() {
        let made = |api: &str| Made { api: api.to_owned(), runtime: None, source: None, engine: None };
        let lambda = "rimward:edge/lambda-edge@0.1.0";
        for (exports, made, want) in [
            ("flat", None, Event::ALL.to_vec()),
            (lambda, Some(made("lambda-edge")), Event::ALL.to_vec()),
            (lambda, Some(made("cloudfront")), vec![Event::ViewerRequest, Event::ViewerResponse]),
            ("on-origin-response", None, vec![Event::OriginResponse]),
            ("other", None, vec![]),
        ] {
            let shape = Shape { exports: vec![exports.to_owned()], made, ..Shape::default() };
            assert_eq!(events(&shape), want, "{exports}");
        }
    }
}
