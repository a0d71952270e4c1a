//! Token: a compact JWS taken apart (RFC 7515 §3.1, RFC 7519 §7.2).
//!
//! In: its text. Out: header, what is signed, the signature. Never: a claim that somebody may believe: nothing here is verified.

use std::sync::Arc;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use serde_json::Value;
use smallvec::SmallVec;

use crate::access::{Claims, json};
use crate::config::compiled::JwtAlgorithm;

/// Bytes of a token. Larger ones do not fit the header limits of most servers.
pub const TOKEN_MAX: usize = 16 << 10;
/// Bytes of its header, decoded: `alg`, `kid`, `typ` and a little more.
pub const HEADER_MAX: usize = 2 << 10;
/// Bytes of a key's name.
pub const KID_MAX: usize = 256;

/// The header, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// What it was read from, as it came: the tokens of one key share it.
    text: Box<str>,
    pub alg: JwtAlgorithm,
    pub kid: Option<String>,
}

/// A signature's bytes; RSA's of 4096 bits are 512.
pub type Signature = SmallVec<[u8; 512]>;

/// A token taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Parsed<'t> {
    pub header: Arc<Header>,
    /// Header and payload with the dot between them (RFC 7515 §5.2).
    pub signed: &'t [u8],
    /// Decoded, unread.
    pub payload: Vec<u8>,
    pub signature: Signature,
}

/// Why it is no token. The words hold nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the token has more than {TOKEN_MAX} bytes")]
    TooLong,
    #[error("the token is not three parts")]
    Parts,
    #[error("a part of the token is not base64url")]
    Encoding,
    #[error("the token's header is not a JSON object of at most {HEADER_MAX} bytes with every member once")]
    Header,
    /// RFC 7515 §4.1.11: extensions that are not understood must be refused, and none is.
    #[error("the token's header has `crit`")]
    Critical,
    #[error("the token's `alg` is none of the known ones")]
    Algorithm,
    #[error("the token's `kid` is not a string of at most {KID_MAX} bytes")]
    Kid,
    #[error("the token's claims are not a JSON object with every member once")]
    Claims,
}

// === impl Parsed ===
impl<'t> Parsed<'t> {
    /// Takes `token` apart. If its header is that of the `last` good one, it need not be read again.
    ///
    /// # Errors
    /// See [`Malformed`]; also a token that is encrypted (five parts), or not signed ("none").
    pub fn new(token: &'t str, last: Option<&Arc<Header>>) -> Result<Self, Malformed> {
        if token.len() > TOKEN_MAX {
            return Err(Malformed::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Malformed::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed::Parts)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(Malformed::Parts);
        }
        let header = match last.filter(|last| *last.text == *header) {
            Some(same) => same.clone(),
            None => Arc::new(Header::new(header)?),
        };
        let len = URL_SAFE_NO_PAD.decoded_length(signature.as_bytes()).map_err(|_| Malformed::Encoding)?;
        let mut bytes = Signature::from_elem(0, len);
        URL_SAFE_NO_PAD.decode(signature.as_bytes(), bytes.as_out()).map_err(|_| Malformed::Encoding)?;
        Ok(Parsed { header, signed: signed.as_bytes(), payload: decode(payload)?, signature: bytes })
    }

    /// The claims, to be read only after the signature was verified.
    ///
    /// # Errors
    /// They are no JSON object, or a member is twice there (RFC 7519 §4).
    pub fn claims(self) -> Result<Claims, Malformed> {
        Claims::parse(self.payload).map_err(|_| Malformed::Claims)
    }
}

// === impl Header ===
impl Header {
    fn new(text: &str) -> Result<Self, Malformed> {
        let decoded = decode(text)?;
        if decoded.len() > HEADER_MAX {
            return Err(Malformed::Header);
        }
        let members = json::object(&decoded).map_err(|_| Malformed::Header)?;
        if members.contains_key("crit") {
            return Err(Malformed::Critical);
        }
        let alg = members.get("alg").and_then(Value::as_str).and_then(algorithm).ok_or(Malformed::Algorithm)?;
        let kid = match members.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_MAX => Some(kid.clone()),
            Some(_) => return Err(Malformed::Kid),
        };
        Ok(Header { text: text.into(), alg, kid })
    }
}

fn algorithm(name: &str) -> Option<JwtAlgorithm> {
    Some(match name {
        "RS256" => JwtAlgorithm::Rs256,
        "RS384" => JwtAlgorithm::Rs384,
        "RS512" => JwtAlgorithm::Rs512,
        "PS256" => JwtAlgorithm::Ps256,
        "ES256" => JwtAlgorithm::Es256,
        "ES384" => JwtAlgorithm::Es384,
        "EdDSA" => JwtAlgorithm::EdDsa,
        _ => return None,
    })
}

fn decode(part: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode_to_vec(part).map_err(|_| Malformed::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode_to_string(text)
    }

    fn token(header: &str) -> String {
        format!("{}.{}.{}", encode(header), encode("{}"), encode("s"))
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg":"RS256","kid":"k","typ":"JWT","x":[1]}"#);
        let parsed = Parsed::new(&text, None).unwrap();
        assert_eq!((parsed.header.alg, parsed.header.kid.as_deref()), (JwtAlgorithm::Rs256, Some("k")));
        assert_eq!(parsed.signed, text.rsplit_once('.').unwrap().0.as_bytes());
        assert_eq!((parsed.payload.as_slice(), parsed.signature.as_slice()), (&b"{}"[..], &b"s"[..]));
        assert_eq!(parsed.claims().unwrap().text(), "{}");
        assert_eq!(Parsed::new(&token(r#"{"alg":"EdDSA"}"#), None).unwrap().header.kid, None);
    }

    #[test]
    fn only_the_same_header_need_not_be_read() {
        let first = token(r#"{"alg":"RS256","kid":"k"}"#);
        let first = Parsed::new(&first, None).unwrap();
        for (header, same) in [(r#"{"alg":"RS256","kid":"k"}"#, true), (r#"{"alg":"ES256","kid":"k"}"#, false)] {
            let text = token(header);
            let next = Parsed::new(&text, Some(&first.header)).unwrap();
            assert_eq!(Arc::ptr_eq(&next.header, &first.header), same, "{header}");
            assert_eq!(next, Parsed::new(&text, None).unwrap(), "{header}");
        }
    }

    #[test]
    fn what_is_no_token() {
        let good = token(r#"{"alg":"RS256"}"#);
        let (body, _) = good.rsplit_once('.').unwrap();
        let long = format!(r#"{{"alg":"RS256","x":"{}"}}"#, "a".repeat(HEADER_MAX));
        let kid = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(KID_MAX + 1));
        for (name, text, want) in [
            ("nothing", String::new(), Malformed::Parts),
            ("one part", "abc".into(), Malformed::Parts),
            ("two parts", "YQ.YQ".into(), Malformed::Parts),
            ("no signature", format!("{body}."), Malformed::Parts),
            ("encrypted", "YQ.YQ.YQ.YQ.YQ".into(), Malformed::Parts),
            ("too long", format!("{good}{}", "A".repeat(TOKEN_MAX)), Malformed::TooLong),
            ("padded", format!("{good}="), Malformed::Encoding),
            ("standard base64", format!("{body}.+/+/"), Malformed::Encoding),
            ("white space", format!(" {good}"), Malformed::Encoding),
            ("bits left over", format!("{body}.YR"), Malformed::Encoding),
            ("header is text", token("alg"), Malformed::Header),
            ("header is a list", token("[]"), Malformed::Header),
            ("header too long", token(&long), Malformed::Header),
            ("alg twice", token(r#"{"alg":"RS256","alg":"none"}"#), Malformed::Header),
            ("alg twice, escaped", token(r#"{"alg":"RS256","\u0061lg":"none"}"#), Malformed::Header),
            ("crit", token(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#), Malformed::Critical),
            ("no alg", token("{}"), Malformed::Algorithm),
            ("alg is a number", token(r#"{"alg":256}"#), Malformed::Algorithm),
            ("none", token(r#"{"alg":"none"}"#), Malformed::Algorithm),
            ("None", token(r#"{"alg":"None"}"#), Malformed::Algorithm),
            ("HS256", token(r#"{"alg":"HS256"}"#), Malformed::Algorithm),
            ("lower case", token(r#"{"alg":"rs256"}"#), Malformed::Algorithm),
            ("kid is a number", token(r#"{"alg":"RS256","kid":1}"#), Malformed::Kid),
            ("kid too long", token(&kid), Malformed::Kid),
        ] {
            assert_eq!(Parsed::new(&text, None).err(), Some(want), "{name}");
        }
    }

    #[test]
    fn claims_have_one_meaning() {
        for payload in ["", "[]", "\"a\"", r#"{"sub":"a","sub":"b"}"#, r#"{"a":{"b":1,"b":2}}"#] {
            let text = format!("eyJhbGciOiJSUzI1NiJ9.{}.YQ", encode(payload));
            let claims = Parsed::new(&text, None).unwrap().claims();
            assert_eq!(claims.err(), Some(Malformed::Claims), "{payload}");
        }
    }
}
