//! Lets in who carries a valid token.
//!
//! Event: viewer-request. Grants: config `key.<kid>` = a public key as PEM or JWK, for each key that may sign; config `issuer`
//! and `audience`, each checked when it is there. Signatures: RS256 and ES256. The token is in `Authorization: Bearer …`; who it
//! is for goes to the origin as `x-user`, and what a viewer sent under that name never does.

use rimward_edge::{clock, config, crypto, field, header, hooks, request, respond};
use serde::Deserialize;

hooks!(viewer_request);

#[derive(Deserialize)]
struct Header<'t> {
    alg: &'t str,
    kid: &'t str,
}

/// Times are seconds since the epoch.
#[derive(Deserialize)]
struct Claims<'t> {
    sub: &'t str,
    exp: u64,
    nbf: Option<u64>,
    iss: Option<&'t str>,
    aud: Option<&'t str>,
}

/// How far the issuer's clock may be off, in seconds.
const SKEW: u64 = 30;

fn viewer_request() -> Result<(), String> {
    request::remove_header("x-user")?;
    let authorization = header("authorization").unwrap_or_default();
    let verdict = match authorization.strip_prefix("Bearer ") {
        Some(token) => check(token.trim()),
        None => Err("invalid_request"),
    };
    match verdict {
        Ok(user) => Ok(request::set_header("x-user", user.as_bytes())?),
        Err(code) => {
            let challenge = ["Bearer error=\"", code, "\""].concat();
            respond(401, &[field("www-authenticate", challenge), field("cache-control", "no-store")], b"")
        }
    }
}

/// The subject of a token that is signed by a known key, for this audience, and valid now.
fn check(token: &str) -> Result<String, &'static str> {
    const INVALID: &str = "invalid_token";
    let (signed, signature) = token.rsplit_once('.').ok_or(INVALID)?;
    let (head, claims) = signed.split_once('.').ok_or(INVALID)?;
    let (head, claims) = (base64url(head).ok_or(INVALID)?, base64url(claims).ok_or(INVALID)?);
    let signature = base64url(signature).ok_or(INVALID)?;

    let (head, _) = serde_json_core::from_slice::<Header>(&head).map_err(|_| INVALID)?;
    // The list is ours, not the token's: "none" or a symmetric algorithm is never taken.
    if !matches!(head.alg, "RS256" | "ES256") {
        return Err(INVALID);
    }
    let key = config::get(&["key.", head.kid].concat()).ok_or(INVALID)?;
    if !crypto::verify(head.alg, &key, signed.as_bytes(), &signature).map_err(|_| INVALID)? {
        return Err(INVALID);
    }

    let (claims, _) = serde_json_core::from_slice::<Claims>(&claims).map_err(|_| INVALID)?;
    let now = clock::now_ms() / 1000;
    let in_time = now < claims.exp.saturating_add(SKEW) && claims.nbf.is_none_or(|nbf| nbf <= now + SKEW);
    let as_configured = |name, value: Option<&str>| config::get(name).is_none_or(|want| value == Some(want.as_str()));
    if !in_time || !as_configured("issuer", claims.iss) || !as_configured("audience", claims.aud) {
        return Err(INVALID);
    }
    Ok(claims.sub.to_owned())
}

/// Base64 with `-` and `_`, without padding (RFC 7515 §2).
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    // A lone character, or bits that are left over and not zero: somebody's second spelling of the same token.
    (count < 6 && bits & ((1 << count) - 1) == 0).then_some(out)
}
