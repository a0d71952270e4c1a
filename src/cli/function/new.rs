//! New: a small project that works.
//!
//! In: a directory's name, a language, an event. Out: its files, and the two commands to go on with. Never: a file that was there
//! is touched.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::templates::{self, File};
use super::{FnError, Verdict, event_name};
use crate::hooks::Event;

/// Characters of a function's name.
const NAME_MAX: usize = 64;
/// How the name of a project's directory does not end: the commands would take it for a file, and Go has no such module.
const ENDS: [&str; 7] = [".c", ".go", ".py", ".rs", ".ts", ".zig", "."];

/// Write a small project that works
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward fn new pretty-urls\n  \
    rimward fn new headers --event viewer-response --kind cloudfront\n  \
    rimward fn new ab-split --language rust --event origin-request")]
pub struct New {
    /// Directory to make, or . for this one; its last part names the function
    #[arg(value_name = "NAME")]
    pub path: PathBuf,
    /// JavaScript needs no toolchain, WAT neither
    #[arg(long, value_enum, default_value_t)]
    pub language: Language,
    /// Where it runs
    #[arg(long, value_parser = event_name(), default_value_t = Event::ViewerRequest)]
    pub event: Event,
    /// The contract it is written to [default: lambda-edge for scripts, native for what compiles to wasm]
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    #[default]
    #[value(alias = "js")]
    Javascript,
    #[value(alias = "ts")]
    Typescript,
    #[value(alias = "py")]
    Python,
    C,
    Zig,
    Go,
    #[value(alias = "as")]
    Assemblyscript,
    Wat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// AWS's Lambda@Edge events, as JSON
    LambdaEdge,
    /// CloudFront Functions; viewer events only
    #[value(name = "cloudfront")]
    CloudFront,
    /// Rimward's own interface: host calls, or one buffer in and one out
    Native,
}

// === impl New ===
impl New {
    pub fn run(&self, out: &mut impl Write) -> Result<Verdict, FnError> {
        let whole = std::path::absolute(&self.path).unwrap_or_default();
        let name = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(rule) = unnamable(name, self.language) {
            let name = if name.is_empty() { self.path.display().to_string() } else { name.to_owned() };
            return Err(FnError::Usage(format!("'{name}' is no name for a function{rule}")));
        }
        let kind = kind(self.language, self.kind, self.event)?;
        let files = templates::files(self.language, kind, self.event, name);
        write(&self.path, &files)?;
        let dir = self.path.display();
        let names: Vec<&str> =
            files.iter().map(|file| file.path).filter(|path| !path.starts_with("rimward/")).collect();
        writeln!(out, "{dir} has {}. Next:\n", names.join(", "))?;
        let entry = self.path.join(templates::entry(self.language));
        let entry = entry.display().to_string();
        let entry = entry.trim_end_matches('/');
        if let Some(first) = templates::before(self.language) {
            writeln!(out, "  (cd {dir} && {first})")?;
        }
        writeln!(out, "  rimward fn test {entry} --event {dir}/event.json")?;
        writeln!(out, "  rimward dev --function {entry}@{}", self.event)?;
        Ok(Verdict::Good)
    }
}

/// What to write it to, when the language and the event allow that.
fn kind(language: Language, asked: Option<Kind>, event: Event) -> Result<Kind, FnError> {
    let possible: &[Kind] = match language {
        Language::Javascript => &[Kind::LambdaEdge, Kind::CloudFront],
        Language::Typescript | Language::Python => &[Kind::LambdaEdge],
        _ => &[Kind::Native],
    };
    let kind = asked.unwrap_or(possible[0]);
    let word = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    if !possible.contains(&kind) {
        let can: Vec<String> = possible.iter().map(|kind| word(&|| kind.to_possible_value())).collect();
        let language = word(&|| language.to_possible_value());
        return Err(FnError::Usage(format!("a function in {language} is {}", can.join(" or "))));
    }
    if kind == Kind::CloudFront && !event.is_viewer() {
        return Err(FnError::Usage(format!(
            "CloudFront Functions run at viewer-request and viewer-response, not at {event}"
        )));
    }
    Ok(kind)
}

/// What a name is, where this is none that the commands, the language and its tools take.
fn unnamable(name: &str, language: Language) -> Option<String> {
    if !speakable(name) {
        let rule = format!(": 1 to {NAME_MAX} of letters, digits, '-', '_' and '.', the first no '-' and no '.'");
        return Some(rule);
    }
    match language {
        // As cargo names packages.
        Language::Rust if name.contains('.') || name.starts_with(|c: char| c.is_ascii_digit()) => {
            Some(" in Rust: letters, digits, '-' and '_', the first no digit and no '-'".to_owned())
        }
        Language::Go | Language::Assemblyscript if ENDS.iter().any(|end| name.ends_with(end)) => {
            Some(format!(" in this language: it does not end with {}", ENDS.join(" or ")))
        }
        _ => None,
    }
}

/// As the configuration takes names; nor one that reads as an option.
fn speakable(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with(['.', '-'])
}

/// All files or none: into a directory that is not there yet, or has nothing in it.
fn write(dir: &Path, files: &[File]) -> Result<(), FnError> {
    let failed = |path: &Path, source| FnError::Write { path: path.to_owned(), source };
    let there = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(dir, error)),
    };
    if there {
        return Err(FnError::Usage(format!("{} is there and not empty: nothing was written", dir.display())));
    }
    for file in files {
        let path = dir.join(file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        }
        let mut new = fs::File::create_new(&path).map_err(|error| failed(&path, error))?;
        new.write_all(file.text.as_bytes()).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_together() {
        use Kind::*;
        for (language, asked, event, want) in [
            (Language::Javascript, None, Event::OriginRequest, Some(LambdaEdge)),
            (Language::Javascript, Some(CloudFront), Event::ViewerResponse, Some(CloudFront)),
            (Language::Javascript, Some(CloudFront), Event::OriginRequest, None),
            (Language::Javascript, Some(Native), Event::ViewerRequest, None),
            (Language::Python, None, Event::ViewerRequest, Some(LambdaEdge)),
            (Language::Rust, None, Event::OriginResponse, Some(Native)),
            (Language::Rust, Some(LambdaEdge), Event::OriginResponse, None),
        ] {
            assert_eq!(kind(language, asked, event).ok(), want, "{language:?} {asked:?} {event}");
        }
        let error = kind(Language::Zig, Some(CloudFront), Event::ViewerRequest).unwrap_err();
        assert_eq!(error.to_string(), "a function in zig is native");
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let files = [File { path: "a/b.txt", text: "new".to_owned() }];
        let fresh = dir.path().join("fresh");
        write(&fresh, &files).unwrap();
        assert_eq!(fs::read_to_string(fresh.join("a/b.txt")).unwrap(), "new");
        let again = write(&fresh, &files).unwrap_err();
        assert!(again.to_string().ends_with("is there and not empty: nothing was written"), "{again}");
        assert_eq!(again.exit_code(), 2);
    }

    #[test]
    fn names() {
        for (name, want) in [
            ("a", true),
            ("1a", true),
            ("a-b_c.d", true),
            ("", false),
            (".", false),
            ("-y", false),
            ("a b", false),
            ("ü", false),
        ] {
            assert_eq!(unnamable(name, Language::Javascript).is_none(), want, "{name}");
        }
        for (name, language, want) in [
            ("a-b_c", Language::Rust, true),
            ("_1", Language::Rust, true),
            ("1abc", Language::Rust, false),
            ("my.fn", Language::Rust, false),
            ("1abc", Language::Go, true),
            ("my.fn", Language::Go, true),
            ("my.", Language::Go, false),
            ("my.go", Language::Go, false),
            ("my.ts", Language::Assemblyscript, false),
            ("my.ts", Language::Typescript, true),
        ] {
            assert_eq!(unnamable(name, language).is_none(), want, "{name} {language:?}");
        }
    }
}
