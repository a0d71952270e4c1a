//! Build: from a JavaScript file or directory to a component.
//!
//! In: source files as people write them for Lambda@Edge and CloudFront Functions. Out: a component that exports
//! `rimward:edge/lambda-edge`, the same bytes for the same source; or an error with its file, line and a caret. Never: a network, a
//! toolchain (but esbuild for TypeScript, when it is installed).

mod bundle;
mod component;
mod diagnose;
mod kept;
mod lint;
mod typescript;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;

use crate::config::compiled::{Flavor, Mode};

use super::engine::{Evaluated, SnapshotError, Snapshotter, World};
use super::failure::Api;
use bundle::Bundle;
pub use bundle::ENTRIES;
pub use diagnose::Diagnosis;
use kept::Kept;

/// The JavaScript engine: functions/js-engine.
pub const ENGINE: &[u8] = include_bytes!("../../../functions/js-engine/engine.wasm");
/// Its hash, as `sha256sum` writes it.
const ENGINE_SHA256: &str = include_str!("../../../functions/js-engine/engine.sha256");

/// Bytes of source a CloudFront function may have (CloudFront Developer Guide, "Quotas on CloudFront Functions").
const CLOUDFRONT_BYTES: usize = 10_240;
/// Keys of a configuration whose values must not lie in a snapshot, which is kept on disk.
const CREDENTIALS: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
const DAY_S: u64 = 86_400;

/// Why a function was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Input { path: PathBuf, message: String },
    /// A package.json that cannot be read, at its place in it.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Manifest { path: PathBuf, line: usize, column: usize, message: String },
    /// The function's own error, at its place in the source.
    #[error("{0}")]
    Source(Diagnosis),
    /// Constructs that CloudFront Functions refuses; strict mode only.
    #[error("{}\nrefused with mode = \"strict\"", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Lint(Vec<Diagnosis>),
    #[error("{path}: {bytes} bytes of source, CloudFront Functions allows {CLOUDFRONT_BYTES}; refused with mode = \"strict\"", path = path.display())]
    Size { path: PathBuf, bytes: usize },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("{0}")]
    TypeScript(String),
    #[error("the component cannot be written: {0}")]
    Component(String),
}

/// What a function is built from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A `.js`, `.mjs`, `.cjs` or `.ts` file, or a directory with a `package.json` or an `index.js`.
    Path(PathBuf),
    /// A directory, and the handler's file and export as Lambda's configuration writes them: `src/app.handler`.
    Lambda { dir: PathBuf, handler: String },
    /// One file that is at hand.
    Text { name: String, text: String },
}

/// A function that was built.
#[derive(Debug)]
pub struct Built {
    pub component: Vec<u8>,
    pub api: Api,
    /// Why the top level runs at the first call of each instance instead of now: the host call it makes.
    pub deferred: Option<String>,
    /// What the top level wrote to `console`: JSON lines as `log.write` takes them.
    pub logs: Vec<String>,
}

/// Builds functions; compiles the JavaScript engine once, when the first has to be built.
pub struct Builder {
    engine: &'static [u8],
    snapshotter: OnceLock<Snapshotter>,
    kept: Option<Kept>,
}

/// What the engine says of a bundle it evaluated.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    api: String,
}

// === impl Builder ===
impl Builder {
    /// `engine`: the engine module, [`ENGINE`] but in tests.
    pub fn new(engine: &'static [u8]) -> Self {
        Builder { engine, snapshotter: OnceLock::new(), kept: None }
    }

    /// The same, with what was built before in `dir`: building takes a second, reading a moment.
    pub fn keeping(dir: PathBuf) -> Self {
        Builder { kept: Some(Kept::new(dir)), ..Builder::new(ENGINE) }
    }

    fn snapshotter(&self) -> Result<&Snapshotter, BuildError> {
        if let Some(snapshotter) = self.snapshotter.get() {
            return Ok(snapshotter);
        }
        let made = Snapshotter::new(self.engine)?;
        Ok(self.snapshotter.get_or_init(|| made))
    }

    /// A function for `flavor`, whose configuration is not known yet; in strict mode also held to AWS's limits.
    pub fn build(&self, source: &Source, flavor: Flavor, mode: Mode) -> Result<Built, BuildError> {
        self.build_for(source, flavor, mode, None)
    }

    /// The same of a function with this configuration, which its top level may read. What it reads of the clock is the time of the build,
    /// to the day.
    pub fn build_for(
        &self,
        source: &Source,
        flavor: Flavor,
        mode: Mode,
        given: Option<&[(String, String)]>,
    ) -> Result<Built, BuildError> {
        self.make(&Bundle::read(source)?, flavor, mode, given)
    }

    fn make(
        &self,
        bundle: &Bundle,
        flavor: Flavor,
        mode: Mode,
        given: Option<&[(String, String)]>,
    ) -> Result<Built, BuildError> {
        let strict = mode == Mode::Strict;
        if strict && matches!(flavor, Flavor::CloudFront1 | Flavor::CloudFront2) {
            held_to_limits(bundle, flavor)?;
        }
        let encoded = bundle.encode(flavor, strict, false);
        let world = World { config: given.map(told), now_ms: today() };
        let name = kept::name(ENGINE_SHA256, flavor, &encoded, &bundle.lines, world.config.as_deref());
        if let Some(built) = self.kept.as_ref().and_then(|kept| kept.find(&name)) {
            return Ok(built);
        }
        let snapshotter = self.snapshotter()?;
        let mut evaluated = snapshotter.evaluate(&encoded, &world)?;
        let deferred = evaluated.needs.take();
        let api = self.api(bundle, flavor, &evaluated, deferred.is_some())?;
        if strict && flavor == Flavor::Auto && api == Api::CloudFront {
            // Only now it is known whose limits it is held to.
            let built = self.make(bundle, flavor_of(flavor, api), mode, given)?;
            if let Some(kept) = &self.kept {
                kept.put(&name, &built);
            }
            return Ok(built);
        }
        if deferred.is_some() {
            let logs = std::mem::take(&mut evaluated.logs);
            evaluated = snapshotter.evaluate(&bundle.encode(flavor_of(flavor, api), strict, true), &world)?;
            evaluated.report.as_ref().map_err(|error| BuildError::Source(Diagnosis::read(error, bundle)))?;
            evaluated.logs = logs;
        }
        let component = component::write(evaluated.module, api, flavor, bundle, ENGINE_SHA256)?;
        let built = Built { component, api, deferred, logs: evaluated.logs };
        if let Some(kept) = &self.kept {
            kept.put(&name, &built);
        }
        Ok(built)
    }

    /// Which contract it was written to. Code that asked for a host may have failed by that, and is judged by its words.
    fn api(&self, bundle: &Bundle, flavor: Flavor, got: &Evaluated, deferred: bool) -> Result<Api, BuildError> {
        match (&got.report, flavor) {
            (Err(error), _) if !deferred => Err(BuildError::Source(Diagnosis::read(error, bundle))),
            (Ok(report), _) => match serde_json::from_str::<Report>(report) {
                Ok(report) if report.api == "cloudfront" => Ok(Api::CloudFront),
                _ => Ok(Api::LambdaEdge),
            },
            (Err(_), Flavor::CloudFront1 | Flavor::CloudFront2) => Ok(Api::CloudFront),
            (Err(_), Flavor::Auto) if !bundle.exports_something() => Ok(Api::CloudFront),
            (Err(_), _) => Ok(Api::LambdaEdge),
        }
    }
}

/// A configuration as a snapshot may hold it: of credentials that they are there, as `null`.
fn told(config: &[(String, String)]) -> String {
    let values = config.iter().map(|(key, value)| (key, (!CREDENTIALS.contains(&key.as_str())).then_some(value)));
    json!(values.collect::<BTreeMap<_, _>>()).to_string()
}

/// The day's first millisecond: what is built of one source on one day is the same.
fn today() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() / DAY_S * DAY_S * 1000
}

/// The flavor to write down once it is known.
fn flavor_of(flavor: Flavor, api: Api) -> Flavor {
    match (flavor, api) {
        (Flavor::Auto, Api::CloudFront) => Flavor::CloudFront2,
        (Flavor::Auto, _) => Flavor::LambdaEdge,
        (flavor, _) => flavor,
    }
}

fn held_to_limits(bundle: &Bundle, flavor: Flavor) -> Result<(), BuildError> {
    let text = bundle.entry_text();
    if text.len() > CLOUDFRONT_BYTES {
        return Err(BuildError::Size { path: bundle.entry.clone().into(), bytes: text.len() });
    }
    let found = lint::check(&bundle.entry, text, flavor);
    if found.is_empty() {
        return Ok(());
    }
    Err(BuildError::Lint(found.into_iter().map(|found| found.original(bundle)).collect()))
}

/// Whether `path` is something this room builds, rather than wasm.
pub fn is_source(path: &Path) -> bool {
    let known = path.extension().and_then(|extension| extension.to_str());
    path.is_dir() || matches!(known, Some("js" | "mjs" | "cjs" | "ts" | "mts" | "cts"))
}

#[cfg(test)]
mod tests;
