//! Error: how what is wrong with a configuration is shown.
//!
//! In: a message, where it applies, what may help. Out: text like rustc's, with line, caret and suggestion. Never: a secret's
//! text, panics on odd spans.

use std::fmt;
use std::path::PathBuf;

use super::image::Wanted;

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The configuration itself could not be read.
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A directory without any *.toml file.
    #[error("{}: no *.toml file in this directory", path.display())]
    Empty { path: PathBuf },
    /// More text than a configuration may have.
    #[error("{}: more than {limit} bytes: this is no configuration", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    /// What is written cannot be run.
    #[error("{0}")]
    Invalid(Diagnostic),
}

/// Everything that was found wrong; never empty.
#[derive(Debug)]
pub struct Errors {
    found: Vec<ConfigError>,
    wanted: Vec<Wanted>,
}

/// One finding and the place it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// File as the operator named it.
    pub file: String,
    /// From 1; columns count characters.
    pub line: usize,
    pub column: usize,
    /// The whole line, secrets blanked; `None` when the finding is about no line.
    pub source: Option<String>,
    /// Characters the caret underlines, at least 1.
    pub width: usize,
    pub message: String,
    pub help: Option<String>,
}

/// Terminal styles, all empty without colour.
struct Styles {
    error: &'static str,
    place: &'static str,
    help: &'static str,
    reset: &'static str,
}

const PLAIN: Styles = Styles { error: "", place: "", help: "", reset: "" };
const COLOUR: Styles = Styles { error: "\x1b[1;31m", place: "\x1b[1;34m", help: "\x1b[1;36m", reset: "\x1b[0m" };

// === impl Diagnostic ===
impl Diagnostic {
    fn write(&self, to: &mut dyn fmt::Write, styles: &Styles) -> fmt::Result {
        let Styles { error, place, help, reset } = styles;
        write!(to, "{}:{}:{}: {error}{}{reset}", self.file, self.line, self.column, self.message)?;
        if let Some(source) = &self.source {
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            // Tabs stay tabs, so that the caret stands below its text whatever a tab is worth.
            let indent: String = source
                .chars()
                .take(self.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let carets = "^".repeat(self.width.max(1));
            write!(to, "\n{gutter} {place}|{reset}\n{place}{number} |{reset} {source}")?;
            write!(to, "\n{gutter} {place}|{reset} {indent}{error}{carets}{reset}")?;
        }
        match &self.help {
            Some(text) => write!(to, "\n{help}help:{reset} {text}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &PLAIN)
    }
}

// === impl Errors ===
impl Errors {
    /// In the order of the text.
    pub fn of(mut found: Vec<Diagnostic>) -> Self {
        found.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Errors { found: found.into_iter().map(ConfigError::Invalid).collect(), wanted: Vec::new() }
    }

    /// Nothing is wrong but that images are not here.
    pub(super) fn wanting(wanted: Vec<Wanted>) -> Self {
        let found = wanted.iter().map(|wanted| wanted.place.clone()).collect();
        Errors { wanted, ..Errors::of(found) }
    }

    /// What has to be pulled for the configuration to be right; empty when something else is wrong.
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// The findings, in the order of the text where they have a place in it.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.found.iter()
    }

    /// All findings, an empty line between them; colour for terminals.
    pub fn render(&self, colour: bool) -> String {
        let styles = if colour { &COLOUR } else { &PLAIN };
        let mut text = String::new();
        for (position, error) in self.found.iter().enumerate() {
            if position > 0 {
                text.push_str("\n\n");
            }
            match error {
                // Writing to a String cannot fail.
                ConfigError::Invalid(diagnostic) => drop(diagnostic.write(&mut text, styles)),
                other => text.push_str(&other.to_string()),
            }
        }
        text
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Errors {}

impl From<ConfigError> for Errors {
    fn from(error: ConfigError) -> Self {
        Errors { found: vec![error], wanted: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Diagnostic {
        Diagnostic {
            file: "edge.toml".into(),
            line: 12,
            column: 2,
            source: Some("\torgin = 'x'".into()),
            width: 5,
            message: "unknown key 'orgin'".into(),
            help: Some("did you mean 'origin'?".into()),
        }
    }

    #[test]
    fn a_finding_reads_like_the_compilers() {
        let want =
            "edge.toml:12:2: unknown key 'orgin'\n   |\n12 | \torgin = 'x'\n   | \t^^^^^\nhelp: did you mean 'origin'?";
        assert_eq!(finding().to_string(), want);
    }

    #[test]
    fn colour_only_when_asked() {
        let found = vec![ConfigError::Invalid(finding()), ConfigError::Empty { path: "d".into() }];
        let errors = Errors { found, wanted: Vec::new() };
        assert!(!errors.to_string().contains('\x1b'));
        assert!(errors.render(true).contains("\x1b[1;31munknown key 'orgin'\x1b[0m"));
        assert!(errors.to_string().ends_with("\n\nd: no *.toml file in this directory"));
    }
}
