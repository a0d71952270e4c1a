//! Judge: whether a behavior's rule holds for a request.
//!
//! In: the rule, the request, what was waited for so far. Out: who asks, why not, or what to wait for. Never: waits by itself, so
//! that both lanes can ask it; the same facts give the same verdict.

use std::sync::Arc;

use http::HeaderName;

use super::authorizer::{Decision, Memo, Question};
use super::keys::{Key, Keys};
use super::used::Used;
use super::{Asked, Denied, Kind, Principal, Reason, addresses, jwt, signed, sigv4};
use crate::config::compiled::{
    AuthorizerId, CertificateRule, Config, IdentitySource, KeyGroupId, Rule, TokenFrom, UsagePlan,
};
use crate::message::Fields;

pub static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Everything that rules name, ready to be asked.
#[derive(Debug)]
pub struct Guards {
    issuers: Vec<Arc<jwt::Verifier>>,
    signers: Vec<Arc<sigv4::Verifier>>,
    groups: Vec<signed::Group>,
    authorizers: Vec<Memo>,
    lists: Vec<addresses::Set>,
    plans: Vec<UsagePlan>,
}

/// A client certificate that the listener has verified.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// The distinguished name.
    pub subject: &'a str,
    /// The subject's common names, then DNS and URI subject alternative names.
    pub names: &'a [String],
    /// Who vouches for it: the fingerprint of the authority that its path ends at, and that authority's public key.
    pub authority: &'a str,
    pub anchor: &'a [u8],
}

/// What is known besides the request itself.
pub struct Facts<'a> {
    /// The behavior's stage; "" = none.
    pub stage: &'a str,
    pub keys: &'a Keys,
    pub certificate: Option<Certificate<'a>>,
    /// ISO 3166-1 alpha-2 of the viewer's address, looked up when a rule asks.
    pub country: &'a dyn Fn() -> Option<[u8; 2]>,
    pub has_body: bool,
    /// SHA-256 of the whole body, once it was read.
    pub body: Option<[u8; 32]>,
    /// The keys of these issuers were waited for, since when (milliseconds since the epoch).
    pub fetched: &'a [(usize, u64)],
    /// What authorizers said of this request.
    pub decisions: &'a [(AuthorizerId, Arc<Decision>)],
}

/// Who was let in.
#[derive(Debug, Default, Clone)]
pub struct Entry {
    pub principal: Option<Principal>,
    pub key: Option<Arc<Key>>,
    /// What keeps principals apart in the cache; empty = nobody in particular.
    pub apart: Vec<u8>,
    /// What the body must turn out to be.
    pub payload: Option<sigv4::Verified>,
    /// Parameters of the query that have done their work.
    pub used: Used,
    /// An API key's value that an authorizer gave.
    usage_key: Option<String>,
    /// The credential was in the Authorization field: it is used up.
    pub authorization: bool,
}

/// What has to be known first.
#[derive(Debug)]
pub enum Wait {
    /// An issuer's keys.
    Keys(usize, jwt::Fetch),
    /// The SHA-256 of the body.
    Body,
    /// What this authorizer says.
    Authorizer(AuthorizerId, Question),
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    Enter(Box<Entry>),
    Deny(Denied),
    Wait(Wait),
}

// === impl Guards ===
impl Guards {
    /// # Errors
    /// A public key that cannot be used: words for the operator.
    pub fn new(config: &Config, registry: &jwt::Registry) -> Result<Self, String> {
        let access = &config.access;
        let groups = access.key_groups.iter().map(|group| signed::Group::new(group).map_err(|error| error.to_string()));
        Ok(Guards {
            issuers: registry.issuers(&access.issuers).map_err(|error| error.to_string())?,
            signers: access.signers.iter().map(|signer| Arc::new(sigv4::Verifier::new(signer))).collect(),
            groups: groups.collect::<Result<_, String>>()?,
            authorizers: access.authorizers.iter().map(Memo::new).collect(),
            lists: access.address_lists.iter().map(|list| addresses::Set::new(list.nets.iter())).collect(),
            plans: config.rates.plans.clone(),
        })
    }

    /// Who checks the signatures of this signer.
    pub fn signer(&self, id: usize) -> Option<&Arc<sigv4::Verifier>> {
        self.signers.get(id)
    }

    pub fn authorizer(&self, id: AuthorizerId) -> Option<&Memo> {
        self.authorizers.get(id)
    }

    /// Whether `rule` lets a request in.
    pub fn judge<F: Fields>(&self, rule: &Rule, asked: &Asked<'_, F>, facts: &Facts<'_>) -> Verdict {
        let verdict = self.one(rule, asked, facts, None);
        match verdict {
            Verdict::Enter(mut entry) => {
                if let (Some(principal), Some(key)) = (&mut entry.principal, &entry.key) {
                    principal.api_key = Some(key.name.clone());
                }
                Verdict::Enter(entry)
            }
            other => other,
        }
    }

    /// `given` is the API key that an authorizer of an `all` around it gave.
    fn one<F: Fields>(&self, rule: &Rule, asked: &Asked<'_, F>, facts: &Facts<'_>, given: Option<&str>) -> Verdict {
        match rule {
            Rule::All(rules) => self.all(rules, asked, facts, given),
            Rule::Any(rules) => {
                let mut denied: Option<Denied> = None;
                for rule in rules {
                    match self.one(rule, asked, facts, given) {
                        // The most telling refusal: that it cannot be known, then that of a credential that was shown.
                        Verdict::Deny(why) => match &denied {
                            Some(first) if first.reason.is_unknown() => {}
                            Some(first)
                                if !why.reason.is_unknown()
                                    && (!first.reason.is_missing() || why.reason.is_missing()) => {}
                            _ => denied = Some(why),
                        },
                        other => return other,
                    }
                }
                Verdict::Deny(denied.unwrap_or_else(|| Denied::new(Reason::Excluded, "no rule")))
            }
            Rule::Not(rules) => {
                for rule in rules {
                    match self.one(rule, asked, facts, given) {
                        Verdict::Enter(_) => {
                            return Verdict::Deny(Denied::new(Reason::Excluded, excluded(rule, asked, facts)));
                        }
                        // What cannot be known is not known not to be.
                        Verdict::Deny(why) if why.reason.is_unknown() => return Verdict::Deny(why),
                        Verdict::Deny(_) => {}
                        wait @ Verdict::Wait(_) => return wait,
                    }
                }
                Verdict::Enter(Box::default())
            }
            Rule::ApiKey => {
                // Of two lines, the origin could go by the one that nobody looked up.
                let mut lines = asked.fields.lines(&X_API_KEY);
                let sent = lines.next().filter(|_| lines.next().is_none());
                self.api_key(given.map(str::as_bytes).or(sent), facts).into()
            }
            Rule::AuthorizerKey => self.api_key(given.map(str::as_bytes), facts).into(),
            Rule::Jwt(rule) => {
                let Some(verifier) = self.issuers.get(rule.issuer) else { return unknown() };
                let fetched = facts.fetched.iter().find(|(issuer, _)| *issuer == rule.issuer);
                let outcome = match fetched {
                    Some((_, since_ms)) => verifier.verify_after(rule, asked, *since_ms),
                    None => match verifier.verify_now(rule, asked) {
                        jwt::Now::Done(outcome) => outcome,
                        jwt::Now::Wait(fetch) => return Verdict::Wait(Wait::Keys(rule.issuer, fetch)),
                    },
                };
                outcome.map(|principal| shown(Entry::of(principal), verifier.places(asked))).into()
            }
            Rule::SigV4(id) => {
                let Some(verifier) = self.signers.get(*id) else { return unknown() };
                self.signature(verifier, asked, facts)
            }
            Rule::Signed(id) => self.signed(*id, asked).into(),
            Rule::Authorizer(id) => self.authorized(*id, asked, facts),
            Rule::Country(countries) => match (facts.country)() {
                Some(country) if countries.contains(&country) => Verdict::Enter(Box::default()),
                Some(country) => {
                    Verdict::Deny(Denied::new(Reason::Country, String::from_utf8_lossy(&country).into_owned()))
                }
                None => Verdict::Deny(Denied::new(Reason::Country, "the address's country is not known")),
            },
            Rule::Address(id) => match self.lists.get(*id) {
                Some(list) if list.contains(asked.viewer) => Verdict::Enter(Box::default()),
                _ => Verdict::Deny(Denied::new(Reason::Address, asked.viewer.to_string())),
            },
            Rule::Certificate(rule) => certificate(rule, facts.certificate).into(),
        }
    }

    /// API keys last where an authorizer is asked, which may give one; the principal is the first's that has one, in the order written.
    fn all<F: Fields>(&self, rules: &[Rule], asked: &Asked<'_, F>, facts: &Facts<'_>, given: Option<&str>) -> Verdict {
        let (mut entry, mut named) = (Entry::default(), None);
        let asks = rules.iter().any(|rule| rule.any(&|rule| matches!(rule, Rule::Authorizer(_))));
        for late in if asks { &[false, true][..] } else { &[false] } {
            for (position, rule) in rules.iter().enumerate() {
                if asks && rule.waits_for_key() != *late {
                    continue;
                }
                match self.one(rule, asked, facts, entry.usage_key.as_deref().or(given)) {
                    Verdict::Enter(more) => {
                        if more.principal.is_some() && named.is_none_or(|first| position < first) {
                            (named, entry.principal) = (Some(position), None);
                        }
                        entry.add(*more);
                    }
                    other => return other,
                }
            }
        }
        Verdict::Enter(Box::new(entry))
    }

    /// `sent` is the key, from wherever it counts.
    fn api_key(&self, sent: Option<&[u8]>, facts: &Facts<'_>) -> Result<Entry, Denied> {
        let deny = |detail: String| Err(Denied::new(Reason::ApiKey, detail));
        let Some(sent) = sent else { return Err(Denied::new(Reason::ApiKeyMissing, "no API key")) };
        let Some(key) = facts.keys.lookup(sent) else { return deny("unknown key".to_owned()) };
        if !key.enabled {
            return deny(format!("key '{}' is disabled", key.name));
        }
        // API Gateway: a key opens the stages of its plans. Where nobody speaks of plans, there is nothing to open; but a key whose plans
        // were taken out of the configuration is not let in by that.
        let plans = !self.plans.is_empty() || !key.plans.is_empty();
        if plans && !self.opens(&key, facts.stage) {
            return deny(format!("no plan of key '{}' opens stage '{}'", key.name, facts.stage));
        }
        let mut entry = Entry::of(Principal::new(Kind::ApiKey, key.name.clone(), Arc::default()));
        entry.apart.extend_from_slice(&key.made.to_be_bytes());
        Ok(Entry { key: Some(key), ..entry })
    }

    fn opens(&self, key: &Key, stage: &str) -> bool {
        let opens = |plan: &UsagePlan| plan.stages.is_empty() || plan.stages.iter().any(|one| one == stage);
        self.plans.iter().any(|plan| key.plans.contains(&plan.name) && opens(plan))
    }

    fn signature<F: Fields>(&self, verifier: &sigv4::Verifier, asked: &Asked<'_, F>, facts: &Facts<'_>) -> Verdict {
        let verified = match verifier.verify(asked, facts.has_body) {
            Ok(sigv4::Outcome::Verified(verified)) => verified,
            Ok(sigv4::Outcome::NeedsBody(pending)) => match facts.body {
                None => return Verdict::Wait(Wait::Body),
                Some(hash) => match pending.finish(hash) {
                    Ok(verified) => verified,
                    Err(denied) => return Verdict::Deny(denied),
                },
            },
            Err(denied) => return Verdict::Deny(denied),
        };
        if let Err(denied) = verifier.authorize(&verified, asked, facts.stage) {
            return Verdict::Deny(denied);
        }
        let principal = Principal::new(Kind::SigV4, verified.principal(), verifier.name());
        let used = Used { presigned: verified.presigned, ..Used::default() };
        let authorization = !verified.presigned;
        Verdict::Enter(Box::new(Entry { payload: Some(verified), used, authorization, ..Entry::of(principal) }))
    }

    fn signed<F: Fields>(&self, id: KeyGroupId, asked: &Asked<'_, F>) -> Result<Entry, Denied> {
        let Some(group) = self.groups.get(id) else { return Err(Denied::new(Reason::SignedInvalid, "no such group")) };
        group.verify(asked)?;
        Ok(Entry { used: Used { signed: true, ..Used::default() }, ..Entry::default() })
    }

    fn authorized<F: Fields>(&self, id: AuthorizerId, asked: &Asked<'_, F>, facts: &Facts<'_>) -> Verdict {
        let Some(memo) = self.authorizers.get(id) else { return unknown() };
        let question = match memo.question(asked, facts.stage) {
            Ok(question) => question,
            Err(denied) => return Verdict::Deny(denied),
        };
        let said = facts.decisions.iter().find(|(said, _)| *said == id).map(|(_, decision)| Arc::clone(decision));
        let Some(decision) = said.or_else(|| memo.recall(&question)) else {
            return Verdict::Wait(Wait::Authorizer(id, question));
        };
        match memo.judge(asked, &question, &decision) {
            Ok((principal, usage_key)) => {
                let authorization = IdentitySource::Header(http::header::AUTHORIZATION);
                let authorization = memo.spec.identity.contains(&authorization);
                let mut entry = Entry { usage_key, authorization, ..Entry::of(principal) };
                // Functions often call everybody "user": who is who is what they were shown.
                entry.apart.extend_from_slice(question.apart().as_ref());
                let claims = entry.principal.as_ref().map_or("", |principal| principal.claims.text());
                entry.apart.extend_from_slice(claims.as_bytes());
                Verdict::Enter(Box::new(entry))
            }
            Err(denied) => Verdict::Deny(denied),
        }
    }
}

// === impl Entry ===
impl Entry {
    fn of(principal: Principal) -> Self {
        // An origin that gets the token reads all of its claims, and one in this process is told them.
        let says = (principal.kind == Kind::Jwt).then(|| principal.claims.says());
        // Both lengths, the hash of what a token says, the kind, which key of that name.
        let mut apart = Vec::with_capacity(principal.issuer.len() + principal.id.len() + 2 * 8 + 32 + 1 + 8);
        apart.push(match principal.kind {
            Kind::ApiKey => b'k',
            Kind::Jwt => b'j',
            Kind::SigV4 => b's',
            Kind::Authorizer => b'a',
            Kind::Certificate => b'c',
        });
        for part in [&principal.issuer, &principal.id] {
            apart.extend_from_slice(&(part.len() as u64).to_be_bytes());
            apart.extend_from_slice(part.as_bytes());
        }
        apart.extend(says.into_iter().flatten());
        Entry { principal: Some(principal), apart, ..Entry::default() }
    }

    /// Takes on what another rule of an `all` found. All of them keep answers apart.
    fn add(&mut self, more: Entry) {
        self.principal = self.principal.take().or(more.principal);
        self.key = self.key.take().or(more.key);
        self.apart.extend_from_slice(&more.apart);
        self.payload = self.payload.take().or(more.payload);
        self.usage_key = self.usage_key.take().or(more.usage_key);
        self.used.signed |= more.used.signed;
        self.used.presigned |= more.used.presigned;
        self.used.tokens.extend(more.used.tokens);
        self.authorization |= more.authorization;
    }
}

/// Notes where a token was that let in: what has done its work there is not part of what is asked for.
fn shown<'a>(mut entry: Entry, places: impl Iterator<Item = &'a TokenFrom>) -> Entry {
    for place in places {
        match place {
            TokenFrom::Header(name) => entry.authorization |= *name == http::header::AUTHORIZATION,
            TokenFrom::Query(name) => entry.used.tokens.push(name.clone()),
            TokenFrom::Cookie(_) => {}
        }
    }
    entry
}

// === impl Verdict ===
impl From<Result<Entry, Denied>> for Verdict {
    fn from(result: Result<Entry, Denied>) -> Self {
        match result {
            Ok(entry) => Verdict::Enter(Box::new(entry)),
            Err(denied) => Verdict::Deny(denied),
        }
    }
}

/// What a rule under `none` found, for the log.
fn excluded<F>(rule: &Rule, asked: &Asked<'_, F>, facts: &Facts<'_>) -> String {
    match rule {
        Rule::Country(_) => {
            let code = (facts.country)().unwrap_or_default();
            format!("country {}", String::from_utf8_lossy(&code))
        }
        Rule::Address(_) => format!("address {}", asked.viewer),
        Rule::ApiKey | Rule::AuthorizerKey => "an API key".to_owned(),
        Rule::Jwt(_) => "a token".to_owned(),
        Rule::SigV4(_) => "a signature".to_owned(),
        Rule::Signed(_) => "a signed URL or cookies".to_owned(),
        Rule::Authorizer(_) => "an authorizer's word".to_owned(),
        Rule::Certificate(_) => "a client certificate".to_owned(),
        Rule::All(_) | Rule::Any(_) | Rule::Not(_) => "several rules".to_owned(),
    }
}

/// A rule whose name leads nowhere cannot be compiled; if it could, it would let nobody in.
fn unknown() -> Verdict {
    Verdict::Deny(Denied::new(Reason::Excluded, "a rule names nothing"))
}

fn certificate(rule: &CertificateRule, shown: Option<Certificate<'_>>) -> Result<Entry, Denied> {
    let Some(shown) = shown else { return Err(Denied::new(Reason::Certificate, "no client certificate")) };
    let matches = |pattern: &String| shown.names.iter().any(|name| like(pattern.as_bytes(), name.as_bytes()));
    if !rule.names.is_empty() && !rule.names.iter().any(matches) {
        return Err(Denied::new(Reason::Certificate, format!("'{}' is not one of the names", shown.subject)));
    }
    if rule.from.as_ref().is_some_and(|from| !from.iter().any(|anchor| anchor == shown.anchor)) {
        return Err(Denied::new(Reason::Certificate, format!("'{}' is from another authority", shown.subject)));
    }
    // A subject may be empty; then the alternative names are all there is (RFC 5280 §4.1.2.6).
    let id = if shown.subject.is_empty() { shown.names.first().map_or("", String::as_str) } else { shown.subject };
    let mut entry = Entry::of(Principal::new(Kind::Certificate, id, shown.authority));
    for name in shown.names {
        entry.apart.extend_from_slice(&(name.len() as u64).to_be_bytes());
        entry.apart.extend_from_slice(name.as_bytes());
    }
    Ok(entry)
}

/// `*` is any run of characters.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
