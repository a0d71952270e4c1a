//! Claims: whether what a verified token says is what a rule wants.
//!
//! In: the issuer, the rule, the claims, now. Out: nothing, or why not. Never: a signature, a clock.

use crate::access::{Claim, Claims, Denied, Reason};
use crate::config::compiled::{Issuer, JwtRule, TokenUse};

/// Checks all that RFC 7519 §4.1, Cognito's documentation ("Verifying JSON web tokens") and API Gateway's ("JWT authorizers") ask
/// for; `exp` is wanted, though RFC 7519 leaves it open: a token without it would be good for ever. Times are seconds.
///
/// # Errors
/// [`Reason::TokenInvalid`], or [`Reason::TokenScope`] when only scope or group are missing.
pub fn check(issuer: &Issuer, rule: &JwtRule, claims: &Claims, now_ms: u64) -> Result<(), Denied> {
    if claims.get("iss").and_then(Claim::as_str) != Some(issuer.issuer.as_str()) {
        return Err(invalid("`iss` is another issuer"));
    }
    times(issuer, claims, now_ms)?;
    audience(issuer, claims)?;
    if let Some(wanted) = issuer.token_use {
        let wanted = match wanted {
            TokenUse::Id => "id",
            TokenUse::Access => "access",
        };
        if claims.get("token_use").and_then(Claim::as_str) != Some(wanted) {
            return Err(invalid("`token_use` is another one"));
        }
    }
    if !rule.scopes.is_empty() && !scopes(claims).any(|scope| rule.scopes.iter().any(|wanted| wanted == scope)) {
        return Err(Denied::new(Reason::TokenScope, "none of the scopes that the rule names"));
    }
    if !rule.groups.is_empty() {
        let mut groups = claims.get(&issuer.groups_claim).into_iter().flat_map(Claim::list);
        if !groups.any(|group| rule.groups.iter().any(|wanted| wanted == group)) {
            return Err(Denied::new(Reason::TokenScope, "none of the groups that the rule names"));
        }
    }
    Ok(())
}

/// RFC 7519 §4.1.4 to §4.1.6.
fn times(issuer: &Issuer, claims: &Claims, now_ms: u64) -> Result<(), Denied> {
    let now = now_ms as f64 / 1000.0;
    let leeway = issuer.leeway.as_secs_f64();
    let expires = time(claims, "exp")?.ok_or_else(|| invalid("there is no `exp`"))?;
    if now >= expires + leeway {
        return Err(invalid("it has expired"));
    }
    if time(claims, "nbf")?.is_some_and(|from| now + leeway < from) {
        return Err(invalid("`nbf` is in the future"));
    }
    if time(claims, "iat")?.is_some_and(|issued| now + leeway < issued) {
        return Err(invalid("`iat` is in the future"));
    }
    Ok(())
}

/// A NumericDate, which may have a fraction (RFC 7519 §2). A string that looks like one is none.
fn time(claims: &Claims, name: &str) -> Result<Option<f64>, Denied> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(time) => Ok(Some(time)),
            None => Err(invalid(&format!("`{name}` is not a number"))),
        },
    }
}

/// `client_id` counts only where there is no `aud` (API Gateway, "JWT authorizers").
fn audience(issuer: &Issuer, claims: &Claims) -> Result<(), Denied> {
    if issuer.audiences.is_empty() {
        return Ok(());
    }
    let known = |name: &str| issuer.audiences.iter().any(|one| one == name);
    let good = match claims.get("aud") {
        Some(aud) => aud.as_str().is_some_and(known) || aud.list().any(known),
        None => claims.get("client_id").and_then(Claim::as_str).is_some_and(known),
    };
    if good { Ok(()) } else { Err(invalid("it is for another audience")) }
}

/// `scope` (RFC 8693 §4.2) and `scp`, each a text with spaces or a list.
fn scopes(claims: &Claims) -> impl Iterator<Item = &str> {
    let values = [claims.get("scope"), claims.get("scp")].into_iter().flatten();
    values.flat_map(|value| {
        let text = value.as_str().unwrap_or_default();
        text.split(' ').filter(|scope| !scope.is_empty()).chain(value.list())
    })
}

fn invalid(words: &str) -> Denied {
    Denied::new(Reason::TokenInvalid, words)
}

#[cfg(test)]
mod tests;
