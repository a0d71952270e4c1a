//! Diagnose: an error of the function's own, shown at its place in the source.

use std::fmt;

use serde::Deserialize;

use super::bundle::Bundle;
use super::typescript;
use crate::hooks::lines::Lines;

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
    /// From the engine's JSON, with the line it means: that of the source, where the file was compiled.
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
            let source = source.unwrap_or_default();
            // The engine counts bytes.
            let column = counted(source, line, error.column.unwrap_or(1), char::len_utf8, |_| 1);
            found = found.at(&file, line, column, source);
        }
        // Not of what esbuild made, nor of a package that others wrote.
        let own = bundle.lines.is_empty() && !found.file.as_deref().is_some_and(|file| file.contains("node_modules/"));
        let syntax = own && found.message.starts_with("SyntaxError");
        if syntax && found.text.as_deref().is_some_and(typescript::resembles) {
            found.message.push_str("; this looks like TypeScript: name the file .ts");
        }
        found.stack = error.stack_trace.into_iter().skip(1).take(FRAMES).collect();
        found.original(bundle)
    }

    /// The same where it is in the source that the bundle's file was compiled from, if it was.
    pub fn original(mut self, bundle: &Bundle) -> Self {
        if bundle.lines.is_empty() {
            return self;
        }
        let lines = Lines::new(&bundle.lines);
        self.stack = lines.stack(&self.stack.join("\n")).lines().map(str::to_owned).collect();
        let (Some(file), Some(line), Some(column)) = (&self.file, self.line, self.column) else { return self };
        let column = counted(bundle.text(file).unwrap_or_default(), line, column, |_| 1, char::len_utf8);
        let Some(place) = lines.place(file, line, column) else { return self };
        let source = bundle.source(place.file).unwrap_or_default();
        let column = counted(&source, place.line, place.column, char::len_utf16, |_| 1);
        self.at(place.file, place.line, column, &source)
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

/// A column of a line in another measure; both from 1.
fn counted(source: &str, line: u32, column: u32, from: fn(char) -> usize, to: fn(char) -> usize) -> u32 {
    let text = source.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default();
    let (column, mut passed, mut counted) = (column as usize, 1, 1);
    for char in text.chars() {
        if passed >= column {
            break;
        }
        passed += from(char);
        counted += to(char);
    }
    u32::try_from(counted + column.saturating_sub(passed)).unwrap_or(u32::MAX)
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

    #[test]
    fn columns_in_other_measures() {
        let source = "ascii\né🚧x\n";
        for (line, bytes, characters, utf16) in
            [(1, 1, 1, 1), (1, 4, 4, 4), (2, 1, 1, 1), (2, 3, 2, 2), (2, 7, 3, 4), (2, 9, 5, 6), (9, 4, 4, 4)]
        {
            assert_eq!(counted(source, line, bytes, char::len_utf8, |_| 1), characters, "{line}:{bytes}");
            assert_eq!(counted(source, line, characters, |_| 1, char::len_utf8), bytes, "{line}:{characters}");
            assert_eq!(counted(source, line, utf16, char::len_utf16, |_| 1), characters, "{line}:{utf16}");
        }
    }
}
