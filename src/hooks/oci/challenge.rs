//! Challenge: how a registry wants to be asked.
//!
//! In: `WWW-Authenticate`. Out: where a token is got, or that a password is wanted. Never: a token, a password.
//!
//! Sources: RFC 9110 §11.6.1, the distribution project's "Token authentication specification".

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Ask this URL for a token.
    Bearer { url: String },
    /// Send user name and password.
    Basic,
}

/// The first that is understood. `scope` is what a challenge without one is about.
pub fn parse(field: &str, scope: &str) -> Option<Challenge> {
    let field = field.trim();
    let (scheme, rest) = field.split_once(' ').unwrap_or((field, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameters = parameters(rest)?;
    let of = |name: &str| parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v);
    let mut url = of("realm")?.clone();
    let mut joint = if url.contains('?') { '&' } else { '?' };
    let scope = of("scope").map_or(scope, String::as_str);
    for (name, value) in [("service", of("service").map(String::as_str)), ("scope", Some(scope))] {
        let Some(value) = value else { continue };
        url.push(joint);
        url.push_str(name);
        url.push('=');
        escape(value, &mut url);
        joint = '&';
    }
    Some(Challenge::Bearer { url })
}

/// `name=token` or `name="text"`, with commas between them.
fn parameters(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return Some(found);
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
                let (value, rest) = rest.split_at(end);
                (value.to_owned(), rest)
            }
        };
        found.push((name.trim().to_owned(), value));
        text = rest;
    }
}

/// Up to the closing quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => {
                value.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, text.get(at + 1..)?)),
            letter => value.push(letter),
        }
    }
    None
}

/// As a value in a query.
fn escape(text: &str, to: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => to.push(byte as char),
            // Writing to a String cannot fail.
            byte => drop(write!(to, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let bearer = |url: &str| Some(Challenge::Bearer { url: url.to_owned() });
        for (field, want) in [
            (
                "Bearer realm=\"https://a.test/token\",service=\"r.test\",scope=\"repository:a/b:pull\"",
                bearer("https://a.test/token?service=r.test&scope=repository:a/b:pull"),
            ),
            ("bearer realm=\"https://a.test/token?x=1\"", bearer("https://a.test/token?x=1&scope=S")),
            ("Bearer service=\"a b&c\" , realm=https://a.test", bearer("https://a.test?service=a%20b%26c&scope=S")),
            ("Bearer realm=\"https://a.test/\\\"q\"", bearer("https://a.test/\"q?scope=S")),
            ("Basic realm=\"r\"", Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer realm=\"open", None),
            ("Bearer service=\"r\"", None),
            ("Bearer", None),
            ("Digest realm=\"r\"", None),
            ("", None),
        ] {
            assert_eq!(parse(field, "S"), want, "{field}");
        }
    }
}
