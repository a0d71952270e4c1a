//! Diagnose: an error of the function's own, shown at its place in the source.

use std::fmt;

use serde::Deserialize;

use super::bundle::Bundle;
use super::typescript;

/// Characters of a source line that are shown.
const WIDTH: usize = 160;
/// Frames of the stack that are shown.
const FRAMES: usize = 8;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    pub message: String,
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// The source line.
    pub text: Option<String>,
    /// Further frames, innermost first.
    pub stack: Vec<String>,
}

/// As the engine describes errors.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    error_type: Option<String>,
    error_message: String,
    #[serde(default)]
    stack_trace: Vec<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

// === impl Diagnosis ===
impl Diagnosis {
    /// From the engine's JSON, with the line it means.
    pub fn read(json: &str, bundle: &Bundle) -> Self {
        let Ok(error) = serde_json::from_str::<Described>(json) else {
            return Diagnosis { message: json.to_owned(), ..Diagnosis::default() };
        };
        let advice = bundle.advice(&error.error_message).map(|advice| format!("; {advice}")).unwrap_or_default();
        let message = match error.error_type {
            Some(kind) => format!("{kind}: {}{advice}", error.error_message),
            None => error.error_message + &advice,
        };
        let source = error.file.as_deref().and_then(|file| bundle.text(file));
        let mut found = Diagnosis { message, ..Diagnosis::default() };
        if let (Some(file), Some(line)) = (error.file, error.line) {
            found = found.at(&file, line, error.column.unwrap_or(1), source.unwrap_or_default());
        }
        if found
            .text
            .as_deref()
            .is_some_and(|line| found.message.starts_with("SyntaxError") && typescript::resembles(line))
        {
            found.message.push_str("; this looks like TypeScript: name the file .ts");
        }
        found.stack = error.stack_trace.into_iter().skip(1).take(FRAMES).collect();
        found
    }

    /// Says where in `source` it is. The engine reads a little more than the source, before it and after it: a place past the end, of
    /// a line or of all, is the end.
    pub fn at(mut self, file: &str, line: u32, column: u32, source: &str) -> Self {
        let lines: Vec<&str> = source.lines().collect();
        let last = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let (line, column) = if last > 0 && line > last { (last, u32::MAX) } else { (line, column) };
        let text = lines.get((line as usize).saturating_sub(1));
        let end = text.map_or(column, |text| u32::try_from(text.chars().count()).unwrap_or(u32::MAX).saturating_add(1));
        self.file = Some(file.to_owned());
        self.line = Some(line);
        self.column = Some(column.min(end));
        self.text = text.map(|text| text.chars().take(WIDTH).collect());
        self
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(file), Some(line), Some(column)) = (&self.file, self.line, self.column) {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(&self.message)?;
        if let (Some(text), Some(line), Some(column)) = (&self.text, self.line, self.column) {
            let number = line.to_string();
            let before: String = text
                .chars()
                .take((column as usize).saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n  {number} | {text}\n  {} | {before}^", " ".repeat(number.len()))?;
        }
        for frame in &self.stack {
            write!(f, "\n    {frame}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_below_the_place() {
        let found = Diagnosis { message: "SyntaxError: no".to_owned(), ..Diagnosis::default() };
        let shown = found.at("a.js", 2, 4, "x\n\tab;\n").to_string();
        assert_eq!(shown, "a.js:2:4: SyntaxError: no\n  2 | \tab;\n    | \t  ^");
        for (line, column) in [(3, 9), (2, 9)] {
            let past = Diagnosis::default().at("a.js", line, column, "x\n\tab;\n");
            assert_eq!((past.line, past.column), (Some(2), Some(5)), "{line}:{column}");
        }
        let unknown = Diagnosis::default().at("a.js", 7, 9, "");
        assert_eq!((unknown.line, unknown.column, unknown.text), (Some(7), Some(9), None));
        let bare = Diagnosis { message: "no handler".to_owned(), ..Diagnosis::default() };
        assert_eq!(bare.to_string(), "no handler");
    }
}
