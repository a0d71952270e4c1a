//! What hooks write again and again.

use crate::{EditError, Field, HostError, answer, log, request};

/// The first line of a request field as text; `None` when it is absent or not UTF-8.
pub fn header(name: &str) -> Option<String> {
    String::from_utf8(request::header(name)?).ok()
}

/// The value of a cookie of the request.
pub fn cookie(name: &str) -> Option<String> {
    request::header_lines("cookie").iter().find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let mut pairs = line.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    })
}

pub fn field(name: &str, value: impl AsRef<[u8]>) -> Field {
    Field { name: name.to_owned(), value: value.as_ref().to_vec() }
}

/// Answers instead of going on.
pub fn respond(status: u16, headers: &[Field], body: &[u8]) -> Result<(), String> {
    Ok(answer::respond(status, headers, body)?)
}

/// Answers with a redirect, which nobody may keep.
pub fn redirect(status: u16, location: &str) -> Result<(), String> {
    respond(status, &[field("location", location), field("cache-control", "no-store")], b"")
}

/// Writes panics to the function's log, with file and line. Adds about 15 KB to a module: for development.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
}

impl From<EditError> for String {
    fn from(error: EditError) -> String {
        let words = match error {
            EditError::ReadOnly => "edit refused: it is read-only at this event",
            EditError::Forbidden => "edit refused: functions may not set it",
            EditError::Invalid => "edit refused: it is not valid",
            EditError::TooLarge => "edit refused: it is too large",
            EditError::WrongEvent => "edit refused: there is no such thing at this event",
        };
        words.to_owned()
    }
}

impl From<HostError> for String {
    fn from(error: HostError) -> String {
        match error {
            HostError::Denied(words) => "denied: ".to_owned() + &words,
            HostError::Invalid(words) => "invalid: ".to_owned() + &words,
            HostError::Timeout(words) => "timed out: ".to_owned() + &words,
            HostError::TooLarge(words) => "too large: ".to_owned() + &words,
            HostError::Failed(words) => words,
        }
    }
}
