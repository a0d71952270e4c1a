//! Names: what a caller may call a function, a version and an alias.
//!
//! In: a path segment ("name", "name:alias", "account:function:name", an ARN) and `?Qualifier=`. Out: a name and a qualifier
//! that are well formed. Never: whether they exist.

use super::fault::Fault;
use crate::config::compiled::lambda_name;

/// Characters of an alias (Lambda API reference, "CreateAlias").
const ALIAS_MAX: usize = 128;

/// What is meant by "no qualifier".
pub(super) const LATEST: &str = "$LATEST";

/// A function, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub name: String,
    /// As written: `$LATEST`, a number, or an alias.
    pub qualifier: Option<String>,
}

// === impl Asked ===
impl Asked {
    /// Reads `segment` (percent-decoded) and the query's qualifier; both may say one, if they say the same.
    pub(super) fn parse(segment: &str, query: Option<&str>, own: &Owner<'_>) -> Result<Self, Fault> {
        let bad = || {
            Fault::validation(format!(
                "1 validation error detected: Value '{segment}' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{{2}}(-gov)?-[a-z]+-\\d{{1}}:)?(\\d{{12}}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
            ))
        };
        let parts: Vec<&str> = segment.split(':').collect();
        let (owner, rest): (Option<(&str, &str)>, &[&str]) = match parts.as_slice() {
            ["arn", partition, "lambda", region, account, "function", rest @ ..] if partition.starts_with("aws") => {
                (Some((region, account)), rest)
            }
            [account, "function", rest @ ..] if twelve_digits(account) => (Some((own.region, account)), rest),
            ["function", rest @ ..] if !rest.is_empty() => (None, rest),
            rest => (None, rest),
        };
        let (name, inline) = match rest {
            [name] => (*name, None),
            [name, qualifier] => (*name, Some(*qualifier)),
            _ => return Err(bad()),
        };
        if !lambda_name(name) || inline.is_some_and(|q| !is_qualifier(q)) {
            return Err(bad());
        }
        if let Some(query) = query.filter(|q| !is_qualifier(q)) {
            return Err(Fault::validation(format!(
                "1 validation error detected: Value '{query}' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: (\\$LATEST|[a-zA-Z0-9-_]+)"
            )));
        }
        if let (Some(inline), Some(query)) = (inline, query)
            && inline != query
        {
            return Err(Fault::invalid(
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        if owner.is_some_and(|owner| owner != (own.region, own.account)) {
            return Err(Fault::not_found(&own.arn(name, inline.or(query))));
        }
        Ok(Asked { name: name.to_owned(), qualifier: inline.or(query).map(str::to_owned) })
    }
}

/// Whose functions these are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub region: &'a str,
    pub account: &'a str,
}

// === impl Owner ===
impl Owner<'_> {
    pub(super) fn arn(&self, name: &str, qualifier: Option<&str>) -> String {
        let base = format!("arn:aws:lambda:{}:{}:function:{name}", self.region, self.account);
        qualifier.map_or_else(|| base.clone(), |qualifier| format!("{base}:{qualifier}"))
    }
}

/// A version's number; 0 is none.
pub(super) fn version(qualifier: &str) -> Option<u64> {
    qualifier.parse().ok().filter(|n| *n > 0 && !qualifier.starts_with(['+', '0']))
}

/// An alias is no number (Lambda API reference, "CreateAlias").
pub(super) fn is_alias(text: &str) -> bool {
    plain(text, ALIAS_MAX) && !text.bytes().all(|b| b.is_ascii_digit())
}

fn is_qualifier(text: &str) -> bool {
    text == LATEST || plain(text, ALIAS_MAX)
}

fn plain(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn twelve_digits(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Owner<'_> = Owner { region: "eu-west-1", account: "123456789012" };

    #[test]
    fn every_way_to_name_a_function() {
        for (segment, query, want) in [
            ("todo", None, Ok(("todo", None))),
            ("todo", Some("live"), Ok(("todo", Some("live")))),
            ("todo:live", None, Ok(("todo", Some("live")))),
            ("todo:live", Some("live"), Ok(("todo", Some("live")))),
            ("todo:live", Some("1"), Err(400)),
            ("todo:$LATEST", None, Ok(("todo", Some("$LATEST")))),
            ("function:todo", None, Ok(("todo", None))),
            ("function", None, Ok(("function", None))),
            ("123456789012:function:todo", None, Ok(("todo", None))),
            ("123456789012:function:todo:7", None, Ok(("todo", Some("7")))),
            ("arn:aws:lambda:eu-west-1:123456789012:function:todo", None, Ok(("todo", None))),
            ("arn:aws:lambda:eu-west-1:123456789012:function:todo:live", None, Ok(("todo", Some("live")))),
            ("arn:aws:lambda:us-east-1:123456789012:function:todo", None, Err(404)),
            ("999999999999:function:todo", None, Err(404)),
            ("", None, Err(400)),
            ("a b", None, Err(400)),
            ("../x", None, Err(400)),
            ("todo:a:b", None, Err(400)),
            ("todo", Some(""), Err(400)),
            (&"x".repeat(64), None, Ok((&"x".repeat(64), None))),
            (&"x".repeat(65), None, Err(400)),
        ] as [(&str, Option<&str>, Result<(&str, Option<&str>), u16>); 21]
        {
            let got = Asked::parse(segment, query, &OWN).map_err(|fault| fault.status().as_u16());
            let want = want.map(|(name, qualifier)| Asked { name: name.into(), qualifier: qualifier.map(Into::into) });
            assert_eq!(got, want, "{segment} {query:?}");
        }
    }

    #[test]
    fn versions_and_aliases() {
        for (text, number, alias) in [
            ("1", Some(1), false),
            ("0", None, false),
            ("01", None, false),
            ("live", None, true),
            ("v1", None, true),
            ("$LATEST", None, false),
        ] {
            assert_eq!((version(text), is_alias(text)), (number, alias), "{text}");
        }
        assert_eq!(OWN.arn("f", Some("live")), "arn:aws:lambda:eu-west-1:123456789012:function:f:live");
    }
}
