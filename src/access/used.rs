//! Used: which parameters of a query are for the edge.
//!
//! In: what let a request in; what a rule looks for. Out: the rest of the query, for keys, origins and the log. Never: whether it lets in.

use std::borrow::Cow;

use super::{jwt, signed, sigv4};
use crate::config::compiled::{Access, IdentitySource, Rule, TokenFrom};

/// Which parameters of the query were for the edge: they are not part of what is asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Used {
    /// Those of a CloudFront signed URL.
    pub signed: bool,
    /// Those of a presigned request (SigV4).
    pub presigned: bool,
    /// Names of those that had tokens.
    pub tokens: Vec<String>,
}

// === impl Used ===
impl Used {
    /// What any of `all` is.
    pub fn any_of<'u>(all: impl IntoIterator<Item = &'u Used>) -> Self {
        let mut used = Used::default();
        for one in all {
            used.signed |= one.signed;
            used.presigned |= one.presigned;
            used.tokens
                .extend(one.tokens.iter().filter(|name| !used.tokens.contains(name)).cloned().collect::<Vec<_>>());
        }
        used
    }

    /// What of `query` may be written down: a secret may not.
    pub fn loggable<'q>(&self, query: &'q str) -> Cow<'q, str> {
        match self.has_secrets() {
            true => self.rest(Some(query)).unwrap_or_default(),
            false => Cow::Borrowed(query),
        }
    }

    /// The secrets that a query may hold for `rule`, whatever becomes of the request.
    pub fn may_hold(rule: &Rule, access: &Access) -> Self {
        let mut used = Used::default();
        match rule {
            Rule::All(rules) | Rule::Any(rules) | Rule::Not(rules) => {
                let all: Vec<Used> = rules.iter().map(|rule| Used::may_hold(rule, access)).collect();
                used = Used::any_of(&all);
            }
            Rule::SigV4(_) => used.presigned = true,
            Rule::Jwt(rule) => {
                let places = access.issuers.get(rule.issuer).into_iter().flat_map(|issuer| &issuer.from);
                used.tokens.extend(places.filter_map(|place| match place {
                    TokenFrom::Query(name) => Some(name.clone()),
                    TokenFrom::Header(_) | TokenFrom::Cookie(_) => None,
                }));
            }
            Rule::Authorizer(id) => {
                let sources = access.authorizers.get(*id).into_iter().flat_map(|authorizer| &authorizer.identity);
                used.tokens.extend(sources.filter_map(|source| match source {
                    IdentitySource::Query(name) => Some(name.clone()),
                    _ => None,
                }));
            }
            Rule::ApiKey | Rule::AuthorizerKey | Rule::Signed(_) => {}
            Rule::Country(_) | Rule::Address(_) | Rule::Certificate(_) => {}
        }
        used
    }

    pub fn any(&self) -> bool {
        self.signed || self.has_secrets()
    }

    /// Whether some of them let in whoever has them, for longer or for more than this URL.
    pub fn has_secrets(&self) -> bool {
        self.presigned || !self.tokens.is_empty()
    }

    /// What of `query` is asked for.
    pub fn rest<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let rest = if self.signed { signed::stripped(query) } else { query.map(Cow::Borrowed) };
        let rest = if self.presigned { then(rest, sigv4::stripped) } else { rest };
        self.tokens.iter().fold(rest, |rest, name| then(rest, |query| without(query, name)))
    }
}

/// The query without the parameters of that name.
fn without<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    let sent = |pair: &'q str| pair.split_once('=').map_or(pair, |(name, _)| name);
    let others = query?.split('&').filter(|pair| !jwt::is_named(sent(pair), name));
    let rest = others.collect::<Vec<_>>().join("&");
    (!rest.is_empty()).then_some(Cow::Owned(rest))
}

/// Takes more out of what is left.
fn then<'q>(
    rest: Option<Cow<'q, str>>,
    strip: impl for<'s> Fn(Option<&'s str>) -> Option<Cow<'s, str>>,
) -> Option<Cow<'q, str>> {
    match rest? {
        Cow::Borrowed(rest) => strip(Some(rest)),
        Cow::Owned(rest) => strip(Some(&rest)).map(|rest| Cow::Owned(rest.into_owned())),
    }
}
