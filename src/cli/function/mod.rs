//! Function: the developer's loop of one edge function.
//!
//! In: a file or directory, an event to run it on. Out: a project, a component, what the function did. Never: a running PoP; the
//! function runs here, in the engine that a PoP runs it in.

mod build;
mod diff;
#[cfg(test)]
mod fixture;
mod given;
mod grants;
mod inspect;
mod local;
mod new;
mod percentile;
mod replay;
mod report;
mod source;
mod templates;
mod test;
pub mod time;
mod toolchain;
pub mod watching;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::admin::Colour;
use crate::config::compiled;
use crate::hooks::Event;
use crate::hooks::build::BuildError;
use crate::hooks::engine::EngineError;
use crate::hooks::testevent::TestEventError;

/// Write, build and test edge functions
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward fn new pretty-urls                       a project in JavaScript: no toolchain needed\n  \
    rimward fn test pretty-urls/index.js --request 'GET /docs/'\n  \
    rimward dev --function pretty-urls/index.js      serve with it; a changed file is loaded at once\n  \
    rimward fn build pretty-urls/index.js -o pretty-urls.wasm\n  \
    rimward fn inspect pretty-urls.wasm              what it handles and needs\n\n\
    Exit codes: 0 fine, 1 the function fails, does not build or is not valid, 2 wrong usage,\n\
    or a file that cannot be used.")]
pub struct Fn {
    #[command(subcommand)]
    pub command: FnCommand,
}

#[derive(Debug, Subcommand)]
pub enum FnCommand {
    New(new::New),
    Build(build::Build),
    Test(Box<test::Test>),
    Inspect(inspect::Inspect),
    Replay(Box<replay::Replay>),
}

/// What a JavaScript file is taken for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Flavor {
    /// What the file shows: an exported handler is Lambda@Edge, a global one CloudFront
    #[default]
    Auto,
    LambdaEdge,
    #[value(name = "cloudfront-1.0")]
    CloudFront1,
    #[value(name = "cloudfront-2.0")]
    CloudFront2,
}

/// How closely AWS's limits are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Refuse only what would break a message
    #[default]
    Extended,
    /// AWS's limits and validation, exactly
    Strict,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum FnError {
    #[error("{0}")]
    Usage(String),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Tool(#[from] toolchain::ToolError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Said of a function by what does not know its file.
    #[error("{}: {reason}", path.display())]
    Function { path: PathBuf, reason: String },
    /// A text that is no WebAssembly: file, line and caret.
    #[error("{0}")]
    Text(String),
    #[error("cannot start: {0}")]
    Start(String),
    /// Standard output is gone.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// The function failed, its result is not valid, or a replay differs.
    Bad,
}

// === impl Fn ===
impl Fn {
    /// Runs the command to its end.
    pub fn run(self) -> ExitCode {
        let mut out = io::stdout().lock();
        let colour = Colour::of(&io::stdout());
        let done = match self.command {
            FnCommand::New(new) => new.run(&mut out),
            FnCommand::Build(build) => build.run(&mut out),
            FnCommand::Test(test) => test.run(&mut out, colour),
            FnCommand::Inspect(inspect) => inspect.run(&mut out),
            FnCommand::Replay(replay) => replay.run(&mut out, colour),
        };
        match done.and_then(|verdict| Ok(out.flush().map(|()| verdict)?)) {
            Ok(Verdict::Good) => ExitCode::SUCCESS,
            Ok(Verdict::Bad) => ExitCode::FAILURE,
            // `rimward fn test … | head` has got what it wanted.
            Err(FnError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{} {error}", Colour::of(&io::stderr()).paint("31;1", "error:"));
                ExitCode::from(error.exit_code())
            }
        }
    }
}

// === impl FnError ===
impl FnError {
    /// 2 when the command line is to blame, or a file that it names and that nobody can use; else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            FnError::Usage(_) | FnError::Read { .. } | FnError::Write { .. } | FnError::File { .. } => 2,
            FnError::Build(BuildError::Read { .. } | BuildError::Input { .. } | BuildError::Manifest { .. }) => 2,
            _ => 1,
        }
    }

    /// What the engine says of the function in `path`.
    fn engine(path: &Path, error: EngineError) -> Self {
        match error {
            EngineError::Start(_) | EngineError::Artifacts { .. } => FnError::Engine(error),
            _ => FnError::Function { path: path.to_owned(), reason: error.to_string() },
        }
    }

    /// What the builder says of the source in `path`, which it mostly names itself.
    fn built(path: &Path, error: BuildError) -> Self {
        let named = match &error {
            BuildError::Source(found) => found.file.is_some(),
            other => !matches!(other, BuildError::Snapshot(_) | BuildError::Component(_)),
        };
        if named {
            return FnError::Build(error);
        }
        // The command's own line begins with that word.
        let words = error.to_string();
        let reason = words.strip_prefix("Error: ").unwrap_or(&words).to_owned();
        FnError::Function { path: path.to_owned(), reason }
    }
}

/// Reads an event's name; of one that is nearly right the right one is said.
fn event_name() -> impl TypedValueParser<Value = Event> {
    PossibleValuesParser::new(Event::ALL.map(Event::as_str)).try_map(|name| name.parse::<Event>())
}

/// Events as an option's value.
fn options(events: &[Event]) -> String {
    events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(" or ")
}

/// Why a text is no event and no recording. What serde says of one that is too deep sounds like a mistake in its spelling.
fn unread(error: &TestEventError) -> String {
    match error {
        TestEventError::Json(why) => match why.strip_prefix("recursion limit exceeded") {
            Some(place) => format!("nested too deeply{place}"),
            None => format!("not JSON: {why}"),
        },
        TestEventError::Member { .. } => error.to_string(),
    }
}

// === impl Flavor ===
impl From<Flavor> for compiled::Flavor {
    fn from(flavor: Flavor) -> Self {
        match flavor {
            Flavor::Auto => compiled::Flavor::Auto,
            Flavor::LambdaEdge => compiled::Flavor::LambdaEdge,
            Flavor::CloudFront1 => compiled::Flavor::CloudFront1,
            Flavor::CloudFront2 => compiled::Flavor::CloudFront2,
        }
    }
}

// === impl Mode ===
impl From<Mode> for compiled::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Extended => compiled::Mode::Extended,
            Mode::Strict => compiled::Mode::Strict,
        }
    }
}
