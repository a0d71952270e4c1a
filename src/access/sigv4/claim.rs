//! Claim: what a request says about its own signature, in its `Authorization` field or its query.
//!
//! In: the request as sent. Out: a [`Claim`] whose parts can be read. Never: whether any of it is true.

use std::borrow::Cow;

use http::HeaderName;
use http::header::{AUTHORIZATION, DATE};

use super::canonical::decode;
use super::time;
use crate::access::{Asked, Denied, Reason};
use crate::message::Fields;

/// Bytes of `Authorization`, or of one `X-Amz-` parameter.
pub const MAX_AUTHORIZATION: usize = 4096;
/// Bytes of a session token; STS promises no bound and sends up to a few thousand.
pub const MAX_TOKEN: usize = 8192;
/// Headers that may be signed.
pub const MAX_SIGNED_HEADERS: usize = 64;
/// Bytes of a region set.
pub const MAX_REGION_SET: usize = 256;
/// Hex digits of an ECDSA signature in DER.
const MAX_DER: usize = 144;

pub static X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub static X_AMZ_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
pub static X_AMZ_REGION_SET: HeaderName = HeaderName::from_static("x-amz-region-set");
pub static X_AMZ_CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SigV4.
    Hmac,
    /// SigV4a.
    Ecdsa,
}

// === impl Algorithm ===
impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Hmac => "AWS4-HMAC-SHA256",
            Algorithm::Ecdsa => "AWS4-ECDSA-P256-SHA256",
        }
    }

    fn read(name: &str) -> Result<Self, Denied> {
        match name {
            "AWS4-HMAC-SHA256" => Ok(Algorithm::Hmac),
            "AWS4-ECDSA-P256-SHA256" => Ok(Algorithm::Ecdsa),
            _ => Err(incomplete("unknown algorithm")),
        }
    }
}

/// A request's claim.
#[derive(Debug)]
pub struct Claim<'a> {
    pub algorithm: Algorithm,
    /// In the query.
    pub presigned: bool,
    pub credential: Cow<'a, str>,
    /// Lower case, sorted, each once, joined by `;`.
    pub signed: Cow<'a, str>,
    /// 32 bytes, or DER.
    pub signature: Vec<u8>,
    /// `YYYYMMDDTHHMMSSZ`.
    pub date: String,
    /// Seconds since the epoch: the same.
    pub time: u64,
    /// Seconds; presigned only.
    pub expires: Option<u64>,
    pub token: Option<Cow<'a, [u8]>>,
    pub region_set: Option<Cow<'a, str>>,
    /// `x-amz-content-sha256`.
    pub content: Option<Cow<'a, str>>,
}

/// The access key and its scope: `AK/date/region/service/aws4_request`, without a region in SigV4a.
#[derive(Debug, Clone, Copy)]
pub struct Credential<'a> {
    pub key: &'a str,
    pub date: &'a str,
    pub region: Option<&'a str>,
    pub service: &'a str,
    pub terminator: &'a str,
}

pub fn incomplete(detail: impl Into<String>) -> Denied {
    Denied::new(Reason::SignatureIncomplete, detail)
}

pub fn invalid(detail: impl Into<String>) -> Denied {
    Denied::new(Reason::SignatureInvalid, detail)
}

// === impl Claim ===
impl Claim<'_> {
    /// # Errors
    /// Not exactly the parts that the algorithm has.
    pub fn credential(&self) -> Result<Credential<'_>, Denied> {
        let parts: Vec<&str> = self.credential.split('/').collect();
        match (self.algorithm, parts.as_slice()) {
            (Algorithm::Hmac, [key, date, region, service, terminator]) => {
                Ok(Credential { key, date, region: Some(region), service, terminator })
            }
            (Algorithm::Ecdsa, [key, date, service, terminator]) => {
                Ok(Credential { key, date, region: None, service, terminator })
            }
            _ => Err(incomplete(format!("the credential has {} parts", parts.len()))),
        }
    }

    pub fn signs(&self, name: &str) -> bool {
        self.signed.split(';').any(|signed| signed.eq_ignore_ascii_case(name))
    }
}

/// Reads the claim in AWS's order: the algorithm, the parts, the signed headers, the date.
///
/// # Errors
/// `SignatureMissing` when there is none; `SignatureInvalid` for two; `SignatureIncomplete` for parts that cannot be read.
pub fn read<'a, F: Fields>(asked: &Asked<'a, F>) -> Result<Claim<'a>, Denied> {
    let mut lines = asked.fields.lines(&AUTHORIZATION);
    let (first, more) = (lines.next(), lines.next().is_some());
    let header = first.filter(|line| line.trim_ascii_start().starts_with(b"AWS4-"));
    let again = || asked.fields.lines(&AUTHORIZATION).any(|line| line.trim_ascii_start().starts_with(b"AWS4-"));
    let parameters = Parameters::read(asked.query.unwrap_or_default())?;
    match (header, parameters.any()) {
        _ if more && again() => Err(invalid("Authorization is there twice")),
        (Some(_), true) => Err(invalid("signed in the header and in the query")),
        (Some(line), false) => from_header(line, asked.fields),
        (None, true) => from_query(&parameters, asked.fields),
        (None, false) => Err(Denied::new(Reason::SignatureMissing, "no signature")),
    }
}

fn from_header<'a, F: Fields>(line: &'a [u8], fields: &'a F) -> Result<Claim<'a>, Denied> {
    if line.len() > MAX_AUTHORIZATION {
        return Err(incomplete("Authorization is too long"));
    }
    let line = std::str::from_utf8(line).map_err(|_| incomplete("Authorization is no text"))?.trim();
    let (algorithm, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let algorithm = Algorithm::read(algorithm)?;
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let Some((name, value)) = part.trim().split_once('=') else {
            return Err(incomplete("a part is no name=value"));
        };
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => return Err(incomplete("Authorization has an unknown part")),
        };
        if place.replace(value).is_some() {
            return Err(incomplete(format!("{name} is there twice")));
        }
    }
    let (Some(credential), Some(signed), Some(signature)) = (credential, signed, signature) else {
        return Err(incomplete("Credential, SignedHeaders or Signature is missing"));
    };
    let signature = read_signature(algorithm, signature)?;
    check_signed(signed)?;
    let (text, time) = match (only(fields, &X_AMZ_DATE)?, only(fields, &DATE)?) {
        (Some(text), _) => (text, time::amz_date(text)),
        (None, Some(_)) if !signed.split(';').any(|name| name == "date") => return Err(invalid("Date is not signed")),
        (None, Some(text)) => (text, time::date(text)),
        (None, None) => return Err(incomplete("there is neither X-Amz-Date nor Date")),
    };
    let time = time.ok_or_else(|| incomplete("the date cannot be read"))?;
    Ok(Claim {
        algorithm,
        presigned: false,
        credential: credential.into(),
        signed: signed.into(),
        signature,
        date: if text.len() == time::AMZ_DATE { text.to_owned() } else { time::to_amz_date(time) },
        time,
        expires: None,
        token: token(fields)?.map(Cow::Borrowed),
        region_set: only(fields, &X_AMZ_REGION_SET)?.map(Cow::Borrowed),
        content: only(fields, &X_AMZ_CONTENT)?.map(Cow::Borrowed),
    })
}

fn from_query<'a, F: Fields>(sent: &Parameters<'a>, fields: &'a F) -> Result<Claim<'a>, Denied> {
    let text = |value: Option<&'a str>| -> Result<Option<Cow<'a, str>>, Denied> {
        let Some(value) = value else { return Ok(None) };
        if value.len() > MAX_AUTHORIZATION {
            return Err(incomplete("a parameter is too long"));
        }
        if !value.contains('%') {
            return Ok(Some(Cow::Borrowed(value)));
        }
        let decoded = String::from_utf8(decode(value.as_bytes()));
        decoded.map(|text| Some(Cow::Owned(text))).map_err(|_| incomplete("a parameter is no text"))
    };
    let want =
        |name: &str, value: Option<&'a str>| text(value)?.ok_or_else(|| incomplete(format!("X-Amz-{name} is missing")));
    let algorithm = Algorithm::read(&want("Algorithm", sent.algorithm)?)?;
    let credential = want("Credential", sent.credential)?;
    let signed = want("SignedHeaders", sent.signed)?;
    let date = want("Date", sent.date)?;
    let expires = want("Expires", sent.expires)?;
    let signature = read_signature(algorithm, &want("Signature", sent.signature)?)?;
    check_signed(&signed)?;
    let time = time::amz_date(&date).ok_or_else(|| incomplete("X-Amz-Date cannot be read"))?;
    let digits = !expires.is_empty() && expires.len() <= 9 && expires.bytes().all(|b| b.is_ascii_digit());
    let expires = expires.parse().ok().filter(|_| digits);
    let token = match sent.token {
        Some(value) if value.len() > 3 * MAX_TOKEN => return Err(invalid("the session token is too long")),
        Some(value) => Some(Cow::Owned(decode(value.as_bytes()))),
        None => token(fields)?.map(Cow::Borrowed),
    };
    let content = match only(fields, &X_AMZ_CONTENT)? {
        Some(header) => Some(Cow::Borrowed(header)),
        None => text(sent.content)?,
    };
    Ok(Claim {
        algorithm,
        presigned: true,
        credential,
        signed,
        signature,
        date: date.into_owned(),
        time,
        expires: Some(expires.ok_or_else(|| incomplete("X-Amz-Expires is no number"))?),
        token,
        region_set: text(sent.region_set)?,
        content,
    })
}

/// Lower-case hex, as every signer writes it: 64 digits, or DER's.
fn read_signature(algorithm: Algorithm, text: &str) -> Result<Vec<u8>, Denied> {
    let fits = match algorithm {
        Algorithm::Hmac => text.len() == 64,
        Algorithm::Ecdsa => (16..=MAX_DER).contains(&text.len()),
    };
    unhex(text.as_bytes()).filter(|_| fits).ok_or_else(|| incomplete("the signature cannot be read"))
}

/// Decodes lower-case hex.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)).collect()
}

fn check_signed(signed: &str) -> Result<(), Denied> {
    let (mut last, mut count, mut host) = ("", 0, false);
    for name in signed.split(';') {
        if name.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii_graphic()) {
            return Err(incomplete("SignedHeaders has a name that is none"));
        }
        if count > 0 && name <= last {
            return Err(invalid("SignedHeaders is not sorted"));
        }
        host |= matches!(name, "host" | ":authority");
        (last, count) = (name, count + 1);
    }
    if count > MAX_SIGNED_HEADERS {
        return Err(invalid("too many headers are signed"));
    }
    if !host {
        return Err(invalid("Host is not signed"));
    }
    Ok(())
}

/// The one value of a field.
fn only<'a, F: Fields>(fields: &'a F, name: &'static HeaderName) -> Result<Option<&'a str>, Denied> {
    let value = line(fields, name)?;
    let text = value.map(|value| std::str::from_utf8(value.trim_ascii())).transpose();
    text.map_err(|_| incomplete(format!("{name} is no text")))
}

fn token<F: Fields>(fields: &F) -> Result<Option<&[u8]>, Denied> {
    match line(fields, &X_AMZ_TOKEN)?.map(<[u8]>::trim_ascii) {
        Some(value) if value.len() > MAX_TOKEN => Err(invalid("the session token is too long")),
        other => Ok(other),
    }
}

fn line<'a, F: Fields>(fields: &'a F, name: &'static HeaderName) -> Result<Option<&'a [u8]>, Denied> {
    let mut lines = fields.lines(name);
    match (lines.next(), lines.next()) {
        (_, Some(_)) => Err(incomplete(format!("{name} is there twice"))),
        (value, None) => Ok(value),
    }
}

/// `query` without the parameters of a presigned request, for cache keys and origins: who has them can ask in the signer's name until
/// they expire. The "?" goes with the last of them; one that was sent alone stays.
pub fn stripped(query: Option<&str>) -> Option<Cow<'_, str>> {
    let before = query?;
    if !before.contains("X-Amz-") {
        return Some(Cow::Borrowed(before));
    }
    let ours = |pair: &&str| !PARAMETERS.contains(&pair.split_once('=').map_or(*pair, |(name, _)| name));
    let after = before.split('&').filter(ours).collect::<Vec<_>>().join("&");
    (!after.is_empty()).then_some(Cow::Owned(after))
}

/// Every parameter that is about the signature.
const PARAMETERS: [&str; 9] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Region-Set",
    "X-Amz-Content-Sha256",
];

/// The `X-Amz-` parameters as sent, not decoded.
#[derive(Debug, Default)]
struct Parameters<'a> {
    algorithm: Option<&'a str>,
    credential: Option<&'a str>,
    date: Option<&'a str>,
    expires: Option<&'a str>,
    signed: Option<&'a str>,
    signature: Option<&'a str>,
    token: Option<&'a str>,
    region_set: Option<&'a str>,
    content: Option<&'a str>,
}

// === impl Parameters ===
impl<'a> Parameters<'a> {
    fn read(query: &'a str) -> Result<Self, Denied> {
        let mut found = Parameters::default();
        if !query.contains("X-Amz-") {
            return Ok(found);
        }
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "X-Amz-Algorithm" => &mut found.algorithm,
                "X-Amz-Credential" => &mut found.credential,
                "X-Amz-Date" => &mut found.date,
                "X-Amz-Expires" => &mut found.expires,
                "X-Amz-SignedHeaders" => &mut found.signed,
                "X-Amz-Signature" => &mut found.signature,
                "X-Amz-Security-Token" => &mut found.token,
                "X-Amz-Region-Set" => &mut found.region_set,
                "X-Amz-Content-Sha256" => &mut found.content,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(incomplete(format!("{name} is there twice")));
            }
        }
        Ok(found)
    }

    fn any(&self) -> bool {
        self.algorithm.is_some() || self.signature.is_some() || self.credential.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_its_signature() {
        for (query, want) in [
            (None, None),
            (Some(""), Some("")),
            (Some("a=1&b"), Some("a=1&b")),
            (Some("X-Amz-Signature=00&X-Amz-Date=x"), None),
            (Some("a=1&X-Amz-Algorithm=x&b=2&X-Amz-Security-Token=t&X-Amz-Other=1"), Some("a=1&b=2&X-Amz-Other=1")),
            (Some("a=X-Amz-Date&X-Amz-SignedHeaders&x-amz-date=1"), Some("a=X-Amz-Date&x-amz-date=1")),
        ] {
            assert_eq!(stripped(query).as_deref(), want, "{query:?}");
        }
        for name in PARAMETERS {
            let query = format!("{name}=a&{name}=b");
            assert!(Parameters::read(&query).is_err(), "{name} is read");
        }
    }
}
