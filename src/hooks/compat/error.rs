//! Error: the words for a result that is refused, and for what a guest says of its own failure.
//!
//! In: the place and the reason; a guest's error as JSON. Out: a `Failure`. Never: a status; `Failure` knows it.

use std::fmt;

use crate::hooks::event::Event;
use crate::hooks::exchange::EditError;
use crate::hooks::failure::Failure;

use super::parse::{Node, Read, Reader};

/// Bytes of a guest's own words that are kept.
const WORDS_MAX: usize = 16 << 10;
/// Lines of its stack.
const STACK_MAX: usize = 32;
/// What a guest says that says nothing.
const SILENT: &str = "the function failed and said nothing";
/// Characters of a value that an error quotes.
const QUOTED: usize = 80;

/// A result that is no valid outcome.
pub fn invalid(words: impl fmt::Display) -> Failure {
    Failure::Validation(format!("the function's result failed validation: {words}"))
}

/// A result that is no JSON object at all.
pub fn no_object(words: &str) -> Failure {
    Failure::Validation(format!("the function returned invalid JSON: {words}"))
}

/// A member of the wrong kind.
pub fn wrong_kind(member: &str, want: &str, got: &Node<'_>) -> Failure {
    match got {
        Node::Absent => invalid(format_args!("\"{member}\" is missing")),
        _ => invalid(format_args!("\"{member}\" must be {want}, not {}", got.kind())),
    }
}

/// A field that was refused.
pub fn field(event: Event, name: &str, why: EditError) -> Failure {
    let name = quote(name);
    match why {
        EditError::ReadOnly => invalid(format_args!("the header {name} is read-only in the {event} event")),
        EditError::Forbidden => invalid(format_args!("the header {name} is disallowed: functions may not add it")),
        EditError::Invalid | EditError::NoOrigin => {
            invalid(format_args!("the header {name} has an invalid name or value"))
        }
        EditError::TooLarge => invalid(format_args!("the headers are too large or too many (at {name})")),
        EditError::WrongEvent => invalid(format_args!("the header {name} does not exist in the {event} event")),
    }
}

/// A property that was refused.
pub fn property(event: Event, name: &str, why: EditError) -> Failure {
    match why {
        EditError::ReadOnly => invalid(format_args!("\"{name}\" is read-only in the {event} event")),
        EditError::Forbidden => invalid(format_args!("\"{name}\" is disallowed")),
        EditError::Invalid => invalid(format_args!("\"{name}\" is not valid")),
        EditError::TooLarge => invalid(format_args!("\"{name}\" exceeds the maximum size")),
        EditError::WrongEvent => invalid(format_args!("\"{name}\" may not be set in the {event} event")),
        EditError::NoOrigin => invalid(format_args!("\"{name}\" names no origin of the configuration")),
    }
}

/// The beginning of a value, in quotes, its control characters escaped.
pub fn quote(value: &str) -> String {
    let mut short: String = value.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if value.chars().nth(QUOTED).is_some() {
        short.push('…');
    }
    format!("\"{short}\"")
}

/// What a guest says of its own failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thrown {
    /// "TypeError: x is not a function"
    pub words: String,
    /// One call a line; "" when it said none.
    pub stack: String,
}

/// Reads `{"errorType", "errorMessage", "stackTrace": [string]}`, or any words.
pub fn guest_error(err: &str) -> Thrown {
    let mut reader = Reader::new(err);
    let parsed = if reader.peek() == b'{' { Node::read(&mut reader).ok() } else { None };
    let Some(guest) = parsed else {
        let words = err.trim();
        return Thrown { words: cut(if words.is_empty() { SILENT } else { words }), stack: String::new() };
    };
    let said = |node: &Node<'_>| node.text().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let named = |error: &Node<'_>| match (said(error.get("errorType")), said(error.get("errorMessage"))) {
        (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
        (words, None) | (None, words) => words,
    };
    let mut words = named(&guest).unwrap_or_else(|| SILENT.to_owned());
    // `fetch failed` alone says nothing: Node's reason is in there.
    if let Some(cause) = named(guest.get("cause")) {
        words.push_str(&format!(" (cause: {cause})"));
    }
    let mut stack = String::new();
    if let Node::List(lines) = guest.get("stackTrace") {
        for line in lines.iter().filter_map(Node::text).flat_map(str::lines).map(str::trim).take(STACK_MAX) {
            // JavaScript repeats the message in front of its stack.
            if !line.is_empty() && !words.starts_with(line) {
                stack.push_str(if stack.is_empty() { "" } else { "\n" });
                stack.push_str(line);
            }
        }
    }
    Thrown { words: cut(&words), stack: cut(&stack) }
}

fn cut(words: &str) -> String {
    let mut end = words.len().min(WORDS_MAX);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guests_say_of_their_failures() {
        let long = format!("{{\"errorType\":\"E\",\"errorMessage\":\"{}\"}}", "é".repeat(WORDS_MAX));
        for (err, words, stack) in [
            (
                r#"{"errorType":"TypeError","errorMessage":"x is undefined","stackTrace":["TypeError: x is undefined",
                   "    at handler (index.js:3:9)","at <eval>"]}"#,
                "TypeError: x is undefined",
                "at handler (index.js:3:9)\nat <eval>",
            ),
            (r#"{"errorType":"Error","errorMessage":"m","stackTrace":"no list"}"#, "Error: m", ""),
            (r#"{"errorMessage":"m"}"#, "m", ""),
            (
                r#"{"errorType":"TypeError","errorMessage":"fetch failed","cause":{"errorType":"Error","errorMessage":"denied: no grant"}}"#,
                "TypeError: fetch failed (cause: Error: denied: no grant)",
                "",
            ),
            (r#"{"errorType":"Error","errorMessage":"m","cause":5}"#, "Error: m", ""),
            (r#"{"errorType":"Error","errorMessage":""}"#, "Error", ""),
            (r#"{"errorType":"Runtime.ExitError"}"#, "Runtime.ExitError", ""),
            ("{}", SILENT, ""),
            ("", SILENT, ""),
            ("{ not json", "{ not json", ""),
            ("plain words\n", "plain words", ""),
        ] {
            assert_eq!(guest_error(err), Thrown { words: words.to_owned(), stack: stack.to_owned() }, "{err}");
        }
        assert!(guest_error(&long).words.len() <= WORDS_MAX);
    }
}
