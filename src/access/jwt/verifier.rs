//! Verifier: one issuer's tokens, as one configuration wants them.
//!
//! In: a rule, a request. Out: a principal or a denial at once, or a fetch to wait for first. Never: a wait while keys are held
//! that know the token's `kid`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::jwks::{Held, Jwks, Why};
use super::keys::Verdict;
use super::seen::{Mark, Verified};
use super::token::{Header, Malformed, Parsed, TOKEN_MAX};
use super::{claims, find};
use crate::access::{Asked, Claim, Claims, Denied, Kind, Principal, Reason};
use crate::config::compiled::{Issuer, JwtRule, TokenFrom};
use crate::message::Fields;

/// Verifies the tokens of one issuer. Its keys are shared with the verifiers of other configurations.
#[derive(Debug)]
pub struct Verifier {
    issuer: Issuer,
    name: Arc<str>,
    jwks: Arc<Jwks>,
    /// Of the last token with a good signature.
    header: ArcSwapOption<Header>,
}

/// What can be said without waiting.
#[derive(Debug)]
pub enum Now {
    Done(Result<Principal, Denied>),
    /// Wait for it, then ask [`Verifier::verify_after`].
    Wait(Fetch),
}

/// A fetch of keys that would help.
#[derive(Debug)]
#[must_use]
pub struct Fetch {
    jwks: Arc<Jwks>,
    why: Why,
    now_ms: u64,
}

/// One try with the keys that are held.
enum Try {
    Done(Result<Principal, Denied>),
    /// What is missing, and the answer when it cannot be had.
    Wants(Why, Option<String>, Denied),
}

// === impl Fetch ===
impl Fetch {
    /// When it was asked for, in milliseconds since the epoch.
    pub fn since_ms(&self) -> u64 {
        self.now_ms
    }

    /// Ends when the fetch does, within the issuer's timeout; may be dropped at any time.
    pub async fn done(self) {
        self.jwks.fetched(self.why, self.now_ms).await;
    }
}

// === impl Verifier ===
impl Verifier {
    pub(super) fn new(issuer: Issuer, jwks: Arc<Jwks>) -> Self {
        Verifier { name: issuer.name.as_str().into(), issuer, jwks, header: ArcSwapOption::empty() }
    }

    /// The issuer as it was configured.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Where the request has the token that is judged: in one place as a rule, or the same one in several.
    pub fn places<'a, F: Fields>(&'a self, asked: &'a Asked<'a, F>) -> impl Iterator<Item = &'a TokenFrom> {
        self.issuer.from.iter().filter(|place| find::is_in(place, asked))
    }

    /// Decides with the keys that are held. Old keys are fetched anew in the background meanwhile.
    pub fn verify_now<F: Fields>(&self, rule: &JwtRule, asked: &Asked<'_, F>) -> Now {
        let token = match find::token(&self.issuer.from, asked) {
            Ok((_, token)) => token,
            Err(denied) => return Now::Done(Err(denied)),
        };
        match self.attempt(rule, token, asked.now_ms) {
            Try::Done(outcome) => Now::Done(outcome),
            Try::Wants(why, kid, _) if self.jwks.may(why, kid.as_deref(), asked.now_ms) => {
                Now::Wait(Fetch { jwks: self.jwks.clone(), why, now_ms: asked.now_ms })
            }
            Try::Wants(_, _, denied) => Now::Done(Err(denied)),
        }
    }

    /// Decides for good, after the wait for a fetch that was asked for at `since_ms`.
    ///
    /// # Errors
    /// [`Reason::TokenMissing`], [`Reason::TokenInvalid`], [`Reason::TokenScope`], [`Reason::TokenKeys`].
    pub fn verify_after<F: Fields>(
        &self,
        rule: &JwtRule,
        asked: &Asked<'_, F>,
        since_ms: u64,
    ) -> Result<Principal, Denied> {
        match self.attempt(rule, find::token(&self.issuer.from, asked)?.1, asked.now_ms) {
            Try::Done(outcome) => outcome,
            Try::Wants(why, kid, denied) => {
                // Only a set that was fetched for this token says that there is no such key: a fetch may have failed.
                let fetched = self.jwks.held().is_some_and(|held| held.fetched_ms >= since_ms);
                if let (Why::Unknown, Some(kid), true) = (why, kid, fetched) {
                    self.jwks.without(&kid);
                }
                Err(denied)
            }
        }
    }

    /// Both, with the wait in between.
    ///
    /// # Errors
    /// As [`Verifier::verify_after`].
    pub async fn verify<F: Fields>(&self, rule: &JwtRule, asked: &Asked<'_, F>) -> Result<Principal, Denied> {
        match self.verify_now(rule, asked) {
            Now::Done(outcome) => outcome,
            Now::Wait(fetch) => {
                fetch.done().await;
                self.verify_after(rule, asked, asked.now_ms)
            }
        }
    }

    fn attempt(&self, rule: &JwtRule, token: &str, now_ms: u64) -> Try {
        if token.len() > TOKEN_MAX {
            return Try::Done(Err(malformed(Malformed::TooLong)));
        }
        let held = self.jwks.held();
        let fresh = held.as_ref().filter(|held| held.age(now_ms) < millis(self.issuer.keep));
        if let Some(held) = fresh {
            if held.age(now_ms) >= millis(self.issuer.refresh) {
                self.jwks.poke(now_ms);
            }
            let mark = self.jwks.seen.mark(token);
            let seen = self.jwks.seen.get(mark, token, held.generation, now_ms);
            if let Some(seen) = seen.filter(|seen| self.issuer.algorithms.contains(&seen.algorithm)) {
                return Try::Done(self.principal(rule, &seen.claims, now_ms));
            }
            return self.signature(rule, token, mark, held, now_ms);
        }
        match self.readable(token).and_then(|parsed| self.wanted(rule, parsed, now_ms)) {
            Ok(()) => Try::Wants(Why::Missing, None, Denied::new(Reason::TokenKeys, "no keys of the issuer")),
            Err(denied) => Try::Done(Err(denied)),
        }
    }

    fn signature(&self, rule: &JwtRule, token: &str, mark: Mark, held: &Held, now_ms: u64) -> Try {
        let parsed = match self.readable(token) {
            Ok(parsed) => parsed,
            Err(denied) => return Try::Done(Err(denied)),
        };
        match held.keys.verify(&parsed) {
            Verdict::Good => {
                if self.header.load().as_ref().is_none_or(|last| !Arc::ptr_eq(last, &parsed.header)) {
                    self.header.store(Some(parsed.header.clone()));
                }
                let algorithm = parsed.header.alg;
                let claims = match parsed.claims() {
                    Ok(claims) => Arc::new(claims),
                    Err(error) => return Try::Done(Err(malformed(error))),
                };
                let outcome = self.principal(rule, &claims, now_ms);
                // One that has expired comes back to no use.
                if !matches!(&outcome, Err(denied) if denied.reason == Reason::TokenInvalid) {
                    let verified = Verified::new(token, algorithm, claims, held.generation, now_ms);
                    self.jwks.seen.put(mark, Arc::new(verified));
                }
                Try::Done(outcome)
            }
            Verdict::Bad(words) => Try::Done(Err(Denied::new(Reason::TokenInvalid, words))),
            Verdict::Unknown => {
                let header = parsed.header.clone();
                match self.wanted(rule, parsed, now_ms) {
                    Ok(()) => {
                        let denied = Denied::new(Reason::TokenInvalid, "`kid` names no key of the issuer");
                        Try::Wants(Why::Unknown, header.kid.clone(), denied)
                    }
                    Err(denied) => Try::Done(Err(denied)),
                }
            }
        }
    }

    /// Taken apart, and of an algorithm that the configuration lists.
    fn readable<'t>(&self, token: &'t str) -> Result<Parsed<'t>, Denied> {
        let parsed = Parsed::new(token, self.header.load().as_ref()).map_err(malformed)?;
        if !self.issuer.algorithms.contains(&parsed.header.alg) {
            return Err(Denied::new(Reason::TokenInvalid, "`alg` is not one that the issuer's configuration lists"));
        }
        Ok(parsed)
    }

    /// Whether keys would make a difference: no fetch for another issuer's token, or for one that has expired.
    fn wanted(&self, rule: &JwtRule, parsed: Parsed<'_>, now_ms: u64) -> Result<(), Denied> {
        let claims = parsed.claims().map_err(malformed)?;
        match claims::check(&self.issuer, rule, &claims, now_ms) {
            // Whoever made this up learns nothing about scopes.
            Err(denied) if denied.reason == Reason::TokenScope => Ok(()),
            outcome => outcome,
        }
    }

    fn principal(&self, rule: &JwtRule, claims: &Arc<Claims>, now_ms: u64) -> Result<Principal, Denied> {
        claims::check(&self.issuer, rule, claims, now_ms)?;
        let id = claims.get(&self.issuer.principal_claim);
        let named = |id: &Claim<'_>| id.as_str().map_or(id.as_f64().is_some(), |id| !id.is_empty());
        let Some(id) = id.filter(named) else {
            return Err(Denied::new(Reason::TokenInvalid, "the claim that names the principal is missing"));
        };
        Ok(Principal::new(Kind::Jwt, &*id.words(), self.name.clone()).with_claims(claims.clone()))
    }
}

fn malformed(error: Malformed) -> Denied {
    Denied::new(Reason::TokenInvalid, error.to_string())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
