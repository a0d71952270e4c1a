//! Find: where a request carries its token.
//!
//! In: the places an issuer names, a request. Out: the token's text and its place, none, or that there are several. Never: a choice
//! between two: what we check and what the origin reads could differ.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};

use crate::access::{Asked, Denied, Reason};
use crate::config::compiled::TokenFrom;
use crate::message::{Fields, pairs};

/// The token, and the first place in the order of `from` that has it. Another place may have the same one, and no other: the origin
/// gets both, and could go by the one that nobody verified.
///
/// # Errors
/// [`Reason::TokenMissing`]; [`Reason::TokenInvalid`] for two header lines, cookies or parameters of one name, different tokens in two
/// places, or bytes that are no text.
pub fn token<'a, F: Fields>(from: &'a [TokenFrom], asked: &Asked<'a, F>) -> Result<(&'a TokenFrom, &'a str), Denied> {
    let mut first: Option<(&TokenFrom, &str)> = None;
    for place in from {
        let Some(token) = at(place, asked)? else { continue };
        match first {
            None => first = Some((place, token)),
            Some((_, before)) if before == token => {}
            Some((one, _)) => {
                return Err(Denied::new(Reason::TokenInvalid, format!("different tokens in {one} and {place}")));
            }
        }
    }
    first.ok_or_else(|| Denied::new(Reason::TokenMissing, "no token"))
}

/// Whether a request that has one token has it there.
pub fn is_in<'a, F: Fields>(place: &'a TokenFrom, asked: &Asked<'a, F>) -> bool {
    at(place, asked).is_ok_and(|token| token.is_some())
}

fn at<'a, F: Fields>(place: &'a TokenFrom, asked: &Asked<'a, F>) -> Result<Option<&'a str>, Denied> {
    let found = match place {
        TokenFrom::Header(name) => header(name, asked.fields)?,
        TokenFrom::Cookie(name) => only(cookies(name, asked.fields))?,
        TokenFrom::Query(name) => only(parameters(name, asked.query))?,
    };
    Ok(found.filter(|token| !token.is_empty()))
}

/// The scheme is optional, as it is for API Gateway, and in any case (RFC 9110 §11.1). An `Authorization` of another scheme holds
/// no token.
fn header<'a, F: Fields>(name: &'a HeaderName, fields: &'a F) -> Result<Option<&'a str>, Denied> {
    let Some(line) = only(fields.lines(name))? else { return Ok(None) };
    let line = line.trim_matches([' ', '\t']);
    match line.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim_matches([' ', '\t']))),
        Some(_) if *name == AUTHORIZATION => Ok(None),
        _ if line.eq_ignore_ascii_case("bearer") => Ok(None),
        _ => Ok(Some(line)),
    }
}

/// RFC 6265 §4.2.1.
///
/// Many origins take a name without the white space around it: two such are two.
fn cookies<'a, F: Fields>(name: &'a str, fields: &'a F) -> impl Iterator<Item = &'a [u8]> {
    let pairs = fields.lines(&COOKIE).flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let (own, value) = halves(pair)?;
        (own.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    })
}

/// However the name is encoded.
fn parameters<'a>(name: &'a str, query: Option<&'a str>) -> impl Iterator<Item = &'a [u8]> {
    let pairs = query.unwrap_or_default().split('&');
    pairs.filter_map(move |pair| {
        pair.split_once('=').filter(|(own, _)| is_named(own, name)).map(|(_, value)| value.as_bytes())
    })
}

/// Whether a parameter's name, as it was sent, is `name`.
pub fn is_named(sent: &str, name: &str) -> bool {
    sent == name || sent.contains(['%', '+']) && pairs::decoded(sent) == name
}

fn halves(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..at], &pair[at + 1..]))
}

fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Denied> {
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denied::new(Reason::TokenInvalid, "two tokens in one place"));
    }
    match str::from_utf8(first) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Denied::new(Reason::TokenInvalid, "the token is not text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn places() {
        let header = TokenFrom::Header(AUTHORIZATION);
        let own = TokenFrom::Header(HeaderName::from_static("x-token"));
        let cookie = TokenFrom::Cookie("jwt".into());
        let query = TokenFrom::Query("token".into());
        let missing = Err(Reason::TokenMissing);
        let invalid = Err(Reason::TokenInvalid);
        for (name, from, lines, asked, want) in [
            ("bearer", &[&header][..], &[("authorization", "Bearer a.b.c")][..], None, Ok("a.b.c")),
            ("any case, spaces", &[&header], &[("authorization", " bEARER  a.b.c ")], None, Ok("a.b.c")),
            ("no scheme", &[&header], &[("authorization", "a.b.c")], None, Ok("a.b.c")),
            ("other scheme", &[&header], &[("authorization", "Basic YTpi")], None, missing),
            ("scheme alone", &[&header], &[("authorization", "Bearer ")], None, missing),
            ("none", &[&header], &[], None, missing),
            ("empty", &[&header], &[("authorization", "")], None, missing),
            ("two", &[&header], &[("authorization", "Bearer a"), ("authorization", "Bearer a")], None, invalid),
            ("other field", &[&own], &[("authorization", "x"), ("x-token", "a.b.c")], None, Ok("a.b.c")),
            ("cookie", &[&cookie], &[("cookie", "a=1; jwt=a.b.c; b=2")], None, Ok("a.b.c")),
            ("cookie lines", &[&cookie], &[("cookie", "a=1"), ("cookie", "jwt=t")], None, Ok("t")),
            ("cookie twice", &[&cookie], &[("cookie", "jwt=a;jwt=b")], None, invalid),
            ("cookie twice, one with a space", &[&cookie], &[("cookie", "jwt =forged; jwt=b")], None, invalid),
            ("cookie of longer name", &[&cookie], &[("cookie", "xjwt=a; jwtx=b; jwt")], None, missing),
            ("query", &[&query], &[], Some("a=1&token=t&b"), Ok("t")),
            ("query twice", &[&query], &[], Some("token=t&token=u"), invalid),
            ("query twice, one encoded", &[&query], &[], Some("t%6fken=forged&token=u"), invalid),
            ("query encoded", &[&query], &[], Some("t%6Fken=t"), Ok("t")),
            ("two places", &[&header, &cookie], &[("cookie", "jwt=c"), ("authorization", "h")], None, invalid),
            (
                "two places, one token",
                &[&header, &cookie],
                &[("cookie", "jwt=h"), ("authorization", "h")],
                None,
                Ok("h"),
            ),
            ("one of them empty", &[&header, &cookie], &[("cookie", "jwt="), ("authorization", "h")], None, Ok("h")),
            ("next place", &[&header, &query], &[("authorization", "Basic x")], Some("token=t"), Ok("t")),
        ] {
            let mut fields = HeaderMap::new();
            for (name, value) in lines {
                fields.append(*name, HeaderValue::from_str(value).unwrap());
            }
            let from: Vec<TokenFrom> = from.iter().copied().cloned().collect();
            let asked = Asked {
                method: "GET",
                host: "h",
                path: "/",
                query: asked,
                fields: &fields,
                tls: true,
                viewer: [127, 0, 0, 1].into(),
                now_ms: 0,
            };
            let got = token(&from, &asked).map(|(_, token)| token);
            assert_eq!(got.map_err(|denied| denied.reason), want, "{name}");
        }
    }
}
