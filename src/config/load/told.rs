//! Told: what the TOML reader says, in the operator's words rather than Rust's.
//!
//! In: the reader's error, the places of what was written. Out: a finding at its place. Never: a rule between keys.

use crate::config::error::Diagnostic;
use crate::config::source::{Kind, Node, Sources};

/// Why the reader wants a table with one key, or one of several words.
const ONE_KEY: &str = "wanted exactly 1 element";
const WORD_OR_TABLE: &str = "wanted string or table";

/// Several rules in one place.
const ALL_OR_ANY: &str = "write { all = [ … ] } where each must hold, { any = [ … ] } where one is enough";

/// Whether the reader says again, or because of it, what is known already of names that were taken out.
pub(super) fn is_echo(error: &toml::de::Error) -> bool {
    ["missing field", "unknown variant", "wanted exactly 1 element, found 0"]
        .iter()
        .any(|start| error.message().starts_with(start))
}

/// What the reader says of file number `file`.
pub(super) fn told(sources: &Sources, file: usize, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let (message, help) = match error.message() {
        said if said.starts_with(ONE_KEY) || said == WORD_OR_TABLE => {
            let place = sources.at_span(file, &span);
            choice(place.as_ref().map(|(path, node)| (path.as_slice(), *node)))
        }
        said => (plain(said), None),
    };
    sources.point(file, span, message, help)
}

fn plain(said: &str) -> String {
    let said = said.replace('\n', ": ").replace('`', "'").replace("missing field", "missing key");
    // A number too large for the reader's own is named by the type it fits.
    let said = said.replace(" as i128", "").replace(" as u128", "");
    match said.split_once("expected ") {
        Some((start, rest)) if rest.starts_with("struct ") => format!("{start}expected a table"),
        Some((start, "a sequence")) => format!("{start}expected a list"),
        Some((start, kind)) => match bounds(kind) {
            Some((least, most)) => format!("{start}expected a whole number from {least} to {most}"),
            None => said,
        },
        None => said,
    }
}

/// What Rust's name of a number type allows.
fn bounds(kind: &str) -> Option<(u8, u64)> {
    let (least, kind) = match kind.strip_prefix("a nonzero ") {
        Some(kind) => (1, kind),
        None => (0, kind),
    };
    let most = match kind {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        "u64" | "usize" => u64::MAX,
        _ => return None,
    };
    Some((least, most))
}

/// A value that stands for one of several kinds: a rule, what a limit counts by, a word.
fn choice(place: Option<(&[&str], &Node)>) -> (String, Option<String>) {
    let Some((path, node)) = place else { return ("a word or a table with one key belongs here".to_owned(), None) };
    let is_rule = path.contains(&"access");
    match (&node.kind, path.last()) {
        (Kind::Table(keys), last) => {
            let each: Vec<&str> = keys.keys().map(String::as_str).collect();
            one_key(&each, is_rule, last == Some(&"per"))
        }
        (Kind::Array(_), _) if is_rule => ("a list is no rule".to_owned(), Some(ALL_OR_ANY.to_owned())),
        (_, _) if is_rule => ("a rule is a word or a table with one key".to_owned(), None),
        (_, _) => ("a word or a table with one key belongs here".to_owned(), None),
    }
}

/// A table with no key, or with several.
fn one_key(keys: &[&str], is_rule: bool, is_per: bool) -> (String, Option<String>) {
    let quoted = keys.iter().map(|key| format!("'{key}'")).collect::<Vec<_>>().join(", ");
    match (keys.is_empty(), is_rule, is_per) {
        (true, true, _) => (
            "no rule is named".to_owned(),
            Some("write a word like \"api_key\", a table with one key like { jwt = \"…\" }, or several as { all = [ … ] } or { any = [ … ] }".to_owned()),
        ),
        (true, false, true) => (
            "a limit counts by one thing, and none is named".to_owned(),
            Some("write a word like \"address\", or a table with one key like { header = \"…\" }".to_owned()),
        ),
        (true, false, false) => ("one key belongs here, and there is none".to_owned(), None),
        (false, true, _) => {
            let rules = keys.iter().map(|key| format!("{{ {key} = … }}")).collect::<Vec<_>>().join(", ");
            let help = format!(
                "write {{ all = [{rules}] }} where each must hold, {{ any = [{rules}] }} where one is enough"
            );
            (format!("one rule belongs here, and there are {quoted}"), Some(help))
        }
        (false, false, true) => (
            format!("a limit counts by one thing, and here are {quoted}"),
            Some("write one of them here; for each of them, write a list: limit = [{ per = … }, { per = … }]".to_owned()),
        ),
        (false, false, false) => (format!("one key belongs here, and there are {quoted}"), None),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::load::parse;

    #[test]
    fn what_the_reader_refuses_is_told_in_words() {
        const BEHAVIOR: &str = "[[behavior]]\nmatch='*'\n";
        const PLAN: &str = "[[usage_plan]]\nname='a'\n";
        for (table, text, want, help) in [
            (BEHAVIOR, "access = {}", "no rule is named", "write a word like \"api_key\""),
            (
                BEHAVIOR,
                "access = { jwt = 'a', sigv4 = 'b' }",
                "one rule belongs here, and there are 'jwt', 'sigv4'",
                "write { all = [{ jwt = … }, { sigv4 = … }] } where each must hold, { any = [{ jwt = … }, { sigv4 = … }] }",
            ),
            (
                BEHAVIOR,
                "access = { any = ['api_key', { jwt = 'a', address = 'b' }] }",
                "one rule belongs here, and there are 'address', 'jwt'",
                "write { all = [{ address = … }, { jwt = … }] }",
            ),
            (BEHAVIOR, "access.jwt = 'a'\naccess.sigv4 = 'b'", "there are 'jwt', 'sigv4'", "{ any = ["),
            (BEHAVIOR, "[behavior.access]\njwt = 'a'\nsigv4 = 'b'", "there are 'jwt', 'sigv4'", "{ any = ["),
            (
                BEHAVIOR,
                "access = ['api_key']",
                "a list is no rule",
                "write { all = [ … ] } where each must hold, { any = [",
            ),
            (BEHAVIOR, "access = 5", "a rule is a word or a table with one key", ""),
            (
                BEHAVIOR,
                "limit = { per = { claim = 'a', header = 'b' }, rate = '5/s' }",
                "a limit counts by one thing, and here are 'claim', 'header'",
                "write one of them here",
            ),
            (BEHAVIOR, "limit = { per = {}, rate = '5/s' }", "counts by one thing, and none is named", "{ header = "),
            (BEHAVIOR, "viewer_protocol = 5", "a word or a table with one key belongs here", ""),
            (
                PLAN,
                "quota = { limit = 99999999999999999999, period = 'day' }",
                "integer '99999999999999999999', expected a whole number from 0 to 18446744073709551615",
                "",
            ),
            (
                PLAN,
                "quota = { limit = 9, offset = -1, period = 'day' }",
                "integer '-1', expected a whole number from 0 to 18446744073709551615",
                "",
            ),
            (PLAN, "rate = '5/s'\nburst = 5000000000", "expected a whole number from 0 to 4294967295", ""),
            (
                BEHAVIOR,
                "limit = { per = { network = { v4 = 256 } }, rate = '5/s' }",
                "expected a whole number from 0 to 255",
                "",
            ),
        ] {
            let found = parse(&format!("{table}{text}"), "f", Path::new("")).unwrap_err().to_string();
            assert!(found.contains(want), "{text}\n{found}");
            assert!(!found.contains("i128"), "{text}\n{found}");
            match help {
                "" => assert!(!found.contains("help:"), "{text}\n{found}"),
                help => assert!(found.contains("help: ") && found.contains(help), "{text}\n{found}"),
            }
        }
        // A key that means nothing is told once, not also as a table without any.
        let found = parse(&format!("{BEHAVIOR}access = {{ jwtt = 'a' }}"), "f", Path::new("")).unwrap_err().to_string();
        assert!(found.contains("unknown key 'jwtt'") && !found.contains("no rule is named"), "{found}");
    }
}
