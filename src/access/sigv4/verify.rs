//! Verify: whether a request is signed by one of a signer's keys, for this service, now.
//!
//! In: a request as sent. Out: [`Outcome`]. Never: the body.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use smallvec::SmallVec;
use subtle::{Choice, ConstantTimeEq};

use super::canonical::{self, Query, Uri};
use super::chunked::Chunked;
use super::claim::{self, Algorithm, Claim, Credential, MAX_REGION_SET, invalid};
use super::key::{Found, Keys, Prover, Scope};
use super::payload::{Declared, Payload, declared};
use super::{EMPTY, hex};
use crate::access::{Asked, Denied, iam};
use crate::config::compiled::{AccessKey, Signer};
use crate::config::iam::Policy;
use crate::message::{Fields, path};

/// The longest life of a presigned request, in seconds: seven days.
pub const MAX_EXPIRES: u64 = 604_800;
/// The last part of every scope.
const TERMINATOR: &str = "aws4_request";
/// `x-amz-` headers that need not be signed: the token is compared with the key's own, the other is CloudFront's to add.
const NEED_NOT_BE_SIGNED: [&str; 2] = ["x-amz-security-token", "x-amz-cf-id"];

/// A signer, prepared. Signing keys are derived once a day, region and access key.
#[derive(Debug)]
pub struct Verifier {
    pub(super) signer: Signer,
    keys: Arc<Keys>,
}

/// What a request's head comes to.
#[derive(Debug)]
pub enum Outcome {
    Verified(Verified),
    /// The signature covers the body's hash, which the request does not tell: read the body, then [`Pending::finish`].
    NeedsBody(Pending),
}

/// A request whose signature is good. Its body may still have to be checked: [`super::PayloadCheck`].
#[derive(Debug, Clone)]
pub struct Verified {
    pub(super) keys: Arc<Vec<AccessKey>>,
    pub(super) index: usize,
    /// SigV4a: the first region of the signer that the region set covers, or else the set.
    pub region: String,
    pub service: String,
    /// Milliseconds since the epoch.
    pub signed_ms: u64,
    /// The signature was in the query.
    pub presigned: bool,
    /// What the body must be.
    pub payload: Payload,
}

/// A signature that covers a body which is not read yet.
#[derive(Debug)]
pub struct Pending {
    keys: Arc<Keys>,
    proof: Proof,
    /// Canonical requests that lack the payload's hash.
    forms: Forms,
    verified: Verified,
}

type Forms = SmallVec<[Vec<u8>; 2]>;

/// What decides once the canonical request is complete.
#[derive(Debug)]
struct Proof {
    prover: Prover,
    /// The key exists and the session token is its own.
    known: Choice,
    signature: Vec<u8>,
    /// The string to sign, without the canonical request's hash.
    head: String,
    /// The scope: day and region.
    day: String,
    region: String,
    /// Of the key that is to be kept.
    keep: Option<usize>,
    /// The signing key was derived for this request.
    derived: bool,
}

// === impl Verifier ===
impl Verifier {
    /// Keys must be sorted by id, as the compiled configuration has them.
    pub fn new(signer: &Signer) -> Self {
        let mut signer = signer.clone();
        // Policies are asked about resources in one spelling.
        signer.resource = path::pattern(&signer.resource).into_owned();
        for policy in Arc::make_mut(&mut signer.keys).iter_mut().filter_map(|key| key.policy.as_mut()) {
            *policy = Arc::new(iam::spelled(Policy::clone(policy)));
        }
        Verifier { keys: Arc::new(Keys::new(signer.keys.clone())), signer }
    }

    /// The signer's name in the configuration.
    pub fn name(&self) -> &str {
        &self.signer.name
    }

    /// Verifies the head of a request; `body` tells whether a body follows.
    ///
    /// The order of checks is AWS's. Everything that is true of a signature but its form is denied with one reason, and
    /// a key that does not exist costs what one that does costs.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureIncomplete` or `SignatureInvalid`.
    pub fn verify<F: Fields>(&self, asked: &Asked<'_, F>, body: bool) -> Result<Outcome, Denied> {
        let claim = claim::read(asked)?;
        check_headers(asked, &claim)?;
        self.check_clock(asked.now_ms, &claim)?;
        let credential = claim.credential()?;
        let region = self.check_scope(&claim, &credential)?;
        let declared = declared(asked.fields, &claim, body, self.signer.payload)?;

        let index = self.keys.find(credential.key);
        let (proof, index) = self.proof(&claim, &credential, index, &region)?;
        let verified = |payload| Verified {
            keys: self.signer.keys.clone(),
            index,
            region: region.clone(),
            service: self.signer.service.clone(),
            signed_ms: claim.time.saturating_mul(1000),
            presigned: claim.presigned,
            payload,
        };
        let forms = self.forms(asked, &claim);
        match declared {
            Declared::Known(options) => {
                for (text, payload) in options {
                    if proof.holds(&forms, text.as_bytes()) {
                        proof.keep(&self.keys, self.signer.service.as_str());
                        return Ok(Outcome::Verified(verified(payload)));
                    }
                }
            }
            Declared::Streaming { text, kind, length, trailers } => {
                if proof.holds(&forms, text.as_bytes()) {
                    proof.keep(&self.keys, self.signer.service.as_str());
                    let chain = proof.chain(&claim, &credential);
                    let chunked = Chunked::new(kind, length, trailers, proof.prover, chain, hex(&proof.signature));
                    return Ok(Outcome::Verified(verified(Payload::Chunked(Box::new(chunked)))));
                }
            }
            Declared::OfBody { or_unsigned } => {
                if or_unsigned && proof.holds(&forms, b"UNSIGNED-PAYLOAD") {
                    proof.keep(&self.keys, self.signer.service.as_str());
                    return Ok(Outcome::Verified(verified(Payload::Unsigned)));
                }
                let verified = verified(Payload::Hash(EMPTY));
                return Ok(Outcome::NeedsBody(Pending { keys: self.keys.clone(), proof, forms, verified }));
            }
        }
        Err(proof.wrong(&self.signer.service))
    }

    fn check_clock(&self, now_ms: u64, claim: &Claim<'_>) -> Result<(), Denied> {
        let skew = u64::try_from(self.signer.skew.as_millis()).unwrap_or(u64::MAX);
        let signed = claim.time.saturating_mul(1000);
        let late = match claim.expires {
            Some(seconds) if !(1..=MAX_EXPIRES).contains(&seconds) => {
                return Err(invalid("X-Amz-Expires is out of range"));
            }
            Some(seconds) => seconds * 1000,
            None => skew,
        };
        if now_ms > signed.saturating_add(late) {
            return Err(invalid(format!("the signature expired: signed at {}", claim.date)));
        }
        if signed > now_ms.saturating_add(skew) {
            return Err(invalid(format!("the signature is not yet current: signed at {}", claim.date)));
        }
        Ok(())
    }

    /// The region that the request is for.
    fn check_scope(&self, claim: &Claim<'_>, credential: &Credential<'_>) -> Result<String, Denied> {
        let region = match (credential.region, claim.algorithm) {
            (Some(region), _) => {
                if !is_region(region, false)
                    || !(self.signer.regions.is_empty() || self.signer.regions.iter().any(|own| own == region))
                {
                    return Err(invalid("the credential is scoped to another region"));
                }
                region
            }
            (None, _) => {
                let set = claim.region_set.as_deref().ok_or_else(|| invalid("X-Amz-Region-Set is missing"))?;
                if set.len() > MAX_REGION_SET || !set.split(',').all(|region| is_region(region.trim(), true)) {
                    return Err(invalid("X-Amz-Region-Set is none"));
                }
                let covers = |own: &&String| set.split(',').any(|region| iam::like(region.trim(), own, false));
                match self.signer.regions.iter().find(covers) {
                    Some(own) => own,
                    None if self.signer.regions.is_empty() => set,
                    None => return Err(invalid("the region set covers none of the regions")),
                }
            }
        };
        if credential.service != self.signer.service {
            return Err(invalid("the credential is scoped to another service"));
        }
        if Some(credential.date) != claim.date.get(..8) {
            return Err(invalid("the credential's date is not the request's"));
        }
        if credential.terminator != TERMINATOR {
            return Err(invalid("the credential does not end with aws4_request"));
        }
        Ok(region.to_owned())
    }

    fn proof(
        &self,
        claim: &Claim<'_>,
        credential: &Credential<'_>,
        index: Option<usize>,
        region: &str,
    ) -> Result<(Proof, usize), Denied> {
        let scope = Scope { date: credential.date, region, service: &self.signer.service };
        let Found { prover, own: known, derived } = match claim.algorithm {
            Algorithm::Hmac => self.keys.symmetric(index, &scope),
            Algorithm::Ecdsa => self.keys.asymmetric(index).ok_or_else(|| invalid("no key to check with"))?,
        };
        let own = index.and_then(|index| self.keys.get(index)).and_then(|key| key.session_token.as_ref());
        let sent = claim.token.as_deref();
        let token = match own {
            Some(own) => own.expose().as_bytes().ct_eq(sent.unwrap_or_default()),
            None => Choice::from(u8::from(sent.is_none())),
        };
        let (_, scope) = claim.credential.split_once('/').unwrap_or_default();
        Ok((
            Proof {
                prover,
                known: Choice::from(u8::from(known)) & token,
                signature: claim.signature.clone(),
                head: format!("{}\n{}\n{scope}\n", claim.algorithm.name(), claim.date),
                day: credential.date.to_owned(),
                region: region.to_owned(),
                keep: index.filter(|_| known),
                derived,
            },
            index.unwrap_or(usize::MAX),
        ))
    }

    /// The canonical requests that the signature may be over, without the payload's hash, the likeliest first.
    fn forms<F: Fields>(&self, asked: &Asked<'_, F>, claim: &Claim<'_>) -> Forms {
        let query = asked.query.unwrap_or_default();
        let port = if asked.tls { ":443" } else { ":80" };
        let hosts = [Some(asked.host), asked.host.strip_suffix(port)];
        let other = match claim.presigned {
            false => Query::Raw,
            true => Query::WithoutToken,
        };
        // Where they cannot differ one is enough.
        let both = !query.is_empty() && (!claim.presigned || claim.token.is_some());
        let closed = self.signer.normalize && canonical::ends_with_dots(asked.path);
        let paths = [if self.signer.normalize { Uri::Normalized } else { Uri::AsSent }, Uri::Closed];
        let mut forms = Forms::new();
        for host in hosts.into_iter().flatten() {
            for path in paths.into_iter().take(1 + usize::from(closed)) {
                for form in [Some(Query::Encoded), both.then_some(other)].into_iter().flatten() {
                    let mut out = Vec::with_capacity(512 + query.len());
                    out.extend_from_slice(asked.method.as_bytes());
                    out.push(b'\n');
                    canonical::path(asked.path, path, &mut out);
                    out.push(b'\n');
                    if !query.is_empty() {
                        canonical::query(query, form, claim.presigned, &mut out);
                    }
                    out.push(b'\n');
                    if canonical::headers(asked.fields, host, &claim.signed, &mut out) && !forms.contains(&out) {
                        forms.push(out);
                    }
                }
            }
        }
        forms
    }
}

/// A region's name becomes part of what policies are asked about: nothing in it may look like another part.
fn is_region(text: &str, wild: bool) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || (wild && b == b'*');
    (1..=MAX_REGION_SET).contains(&text.len()) && text.bytes().all(fits)
}

/// One host, and every `x-amz-` header signed.
fn check_headers<F: Fields>(asked: &Asked<'_, F>, claim: &Claim<'_>) -> Result<(), Denied> {
    if asked.fields.lines(&http::header::HOST).any(|host| host.trim_ascii() != asked.host.as_bytes()) {
        return Err(invalid("Host is not the host that is asked"));
    }
    for name in asked.fields.names() {
        let amz = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
        if amz && !claim.signs(name) && !NEED_NOT_BE_SIGNED.iter().any(|free| free.eq_ignore_ascii_case(name)) {
            return Err(invalid(format!("{} is not signed", name.to_ascii_lowercase())));
        }
    }
    Ok(())
}

// === impl Proof ===
impl Proof {
    /// Whether one of the forms, with this payload, is what was signed by a key that exists.
    fn holds(&self, forms: &Forms, payload: &[u8]) -> bool {
        let mut whole = Vec::new();
        forms.iter().any(|form| {
            whole.clear();
            whole.extend_from_slice(form);
            whole.extend_from_slice(payload);
            let text = format!("{}{}", self.head, hex(digest(&SHA256, &whole).as_ref()));
            let proven = self.prover.proves(text.as_bytes(), &self.signature);
            bool::from(Choice::from(u8::from(proven)) & self.known)
        })
    }

    /// `DATE\nSCOPE\n`, which every chunk's string to sign has.
    fn chain(&self, claim: &Claim<'_>, credential: &Credential<'_>) -> String {
        let scope = claim.credential.get(credential.key.len() + 1..).unwrap_or_default();
        format!("{}\n{scope}\n", claim.date)
    }

    fn keep(&self, keys: &Keys, service: &str) {
        if let Some(index) = self.keep {
            keys.keep(index, &Scope { date: &self.day, region: &self.region, service }, &self.prover);
        }
    }

    /// Every "no" takes one derivation of a key, whoever's it was (timing).
    fn wrong(&self, service: &str) -> Denied {
        if !self.derived {
            Keys::pay(&self.prover, &Scope { date: &self.day, region: &self.region, service });
        }
        match (self.keep.is_some() || matches!(self.prover, Prover::Point(_)), bool::from(self.known)) {
            (_, true) => invalid("the signature does not match"),
            (true, false) => invalid("the session token is not the key's, or the key is of another kind"),
            (false, false) => invalid("there is no such access key"),
        }
    }
}

// === impl Verified ===
impl Verified {
    pub fn access_key_id(&self) -> &str {
        self.keys.get(self.index).map_or("", |key| key.id.as_str())
    }

    /// "arn:aws:iam::123456789012:user/alice".
    pub fn principal(&self) -> &str {
        self.keys.get(self.index).map_or("", |key| key.principal.as_str())
    }

    /// Bytes of the body within its chunks; `None` = it has none.
    pub fn decoded_length(&self) -> Option<u64> {
        match &self.payload {
            Payload::Chunked(chunked) => Some(chunked.length()),
            Payload::Hash(_) | Payload::Unsigned => None,
        }
    }

    /// The key's policy, for who asks it later.
    pub fn policy_of_key(&self) -> Option<Arc<Policy>> {
        self.keys.get(self.index)?.policy.clone()
    }

    pub fn policy(&self) -> Option<&Policy> {
        self.keys.get(self.index)?.policy.as_deref()
    }
}

// === impl Pending ===
impl Pending {
    /// Decides, now that the whole body is read: `body` is its SHA-256. The payload of the result is that hash.
    ///
    /// # Errors
    /// `SignatureInvalid`.
    pub fn finish(mut self, body: [u8; 32]) -> Result<Verified, Denied> {
        if !self.proof.holds(&self.forms, hex(&body).as_bytes()) {
            return Err(self.proof.wrong(&self.verified.service));
        }
        self.proof.keep(&self.keys, &self.verified.service);
        self.verified.payload = Payload::Hash(body);
        Ok(self.verified)
    }
}
