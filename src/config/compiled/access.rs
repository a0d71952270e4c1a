//! Access: who may come in, names resolved.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use regex::Regex;

use super::super::iam::Policy;
use super::super::secret::Secret;
use super::{FunctionId, LambdaOrigin};

/// Everything that rules name. Ids are positions in its vectors.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub issuers: Vec<Issuer>,
    pub signers: Vec<Signer>,
    pub key_groups: Vec<KeyGroup>,
    pub authorizers: Vec<Authorizer>,
    pub address_lists: Vec<AddressList>,
}

pub type IssuerId = usize;
pub type SignerId = usize;
pub type KeyGroupId = usize;
pub type AuthorizerId = usize;
pub type AddressListId = usize;

/// Who may come in. Lists are never empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Every one holds; the first that names a principal names it.
    All(Vec<Rule>),
    /// One holds: the first in this order.
    Any(Vec<Rule>),
    /// None of them holds.
    Not(Vec<Rule>),
    ApiKey,
    /// The key that an authorizer of the same `All` gives, and no other.
    AuthorizerKey,
    Jwt(JwtRule),
    SigV4(SignerId),
    /// A signed URL or signed cookies of CloudFront's kind.
    Signed(KeyGroupId),
    Authorizer(AuthorizerId),
    /// ISO 3166-1 alpha-2, upper case; an address whose country is not known is not in the list.
    Country(Vec<[u8; 2]>),
    Address(AddressListId),
    /// A client certificate that the listener has verified; it names the principal.
    Certificate(CertificateRule),
}

/// A token of one issuer, and what it must say.
#[derive(Debug, Clone, PartialEq)]
pub struct JwtRule {
    pub issuer: IssuerId,
    /// One of them in `scope` or `scp`; empty = any token.
    pub scopes: Vec<String>,
    /// One of them in the issuer's groups claim; empty = any token.
    pub groups: Vec<String>,
}

/// Which client certificates, by their subject's common name or a DNS or URI subject alternative name; empty = any verified
/// one. `*` is any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateRule {
    pub names: Vec<String>,
    /// Public keys of the authorities that count (values of SubjectPublicKeyInfo, RFC 5280 §4.1.2.7); `None` = every listener's.
    pub from: Option<Vec<Vec<u8>>>,
}

/// Somebody who signs tokens: a Cognito user pool or any OIDC issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    pub name: String,
    /// Exactly the `iss` claim.
    pub issuer: String,
    pub jwks: JwksSource,
    /// One of them is `aud`, or `client_id` where there is no `aud`; empty = any.
    pub audiences: Vec<String>,
    /// Cognito's `token_use`; `None` = not looked at.
    pub token_use: Option<TokenUse>,
    /// Never empty. The algorithm of a token must be one of them and fit the key that its `kid` names.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The claim that holds groups: "cognito:groups".
    pub groups_claim: String,
    /// The claim that becomes the principal's id: "sub".
    pub principal_claim: String,
    /// How far clocks may be apart when `exp`, `nbf` and `iat` are read.
    pub leeway: Duration,
    /// Where the token is looked for, in this order. Never empty.
    pub from: Vec<TokenFrom>,
    /// Keys older than this are fetched anew, in the background.
    pub refresh: Duration,
    /// Keys that could not be fetched anew serve until they are this old.
    pub keep: Duration,
    /// How long one fetch may take.
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// `http://` or `https://`.
    Url(String),
    /// Read at load: the set itself (RFC 7517 §5).
    Set(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    Id,
    Access,
}

/// RFC 7518 §3.1, RFC 8037 §3.1. No shared secrets, no "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JwtAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFrom {
    /// A leading "Bearer " is taken off.
    Header(HeaderName),
    Cookie(String),
    Query(String),
}

/// As the configuration writes it.
impl fmt::Display for TokenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFrom::Header(name) => write!(f, "header:{name}"),
            TokenFrom::Cookie(name) => write!(f, "cookie:{name}"),
            TokenFrom::Query(name) => write!(f, "query:{name}"),
        }
    }
}

/// What a verified SigV4 or SigV4a signature must be for, and by whom.
#[derive(Debug, Clone)]
pub struct Signer {
    pub name: String,
    /// Last part of the scope but one: "execute-api".
    pub service: String,
    /// Exact regions; empty = any. SigV4a: one of them is covered by the region set.
    pub regions: Vec<String>,
    /// How far the request's time may be from ours.
    pub skew: Duration,
    pub payload: PayloadPolicy,
    /// The path is encoded once more and its dot segments are resolved before it is signed: everything but S3.
    pub normalize: bool,
    /// By access key id, sorted.
    pub keys: Arc<Vec<AccessKey>>,
    /// What policies name as the action: "execute-api:Invoke".
    pub action: String,
    /// What policies name as the resource: `$region`, `$method` and `$path` (without its leading "/") are replaced.
    pub resource: String,
}

/// Which payloads are accepted besides one whose hash is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PayloadPolicy {
    /// `UNSIGNED-PAYLOAD`.
    pub unsigned: bool,
    /// `STREAMING-…`: aws-chunked, each chunk signed, or a trailer.
    pub chunked: bool,
}

/// One access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    pub id: String,
    pub material: KeyMaterial,
    /// Temporary credentials: the request must carry exactly this session token.
    pub session_token: Option<Secret<String>>,
    /// "arn:aws:iam::123456789012:user/alice".
    pub principal: String,
    /// `None` = whatever its signature covers.
    pub policy: Option<Arc<Policy>>,
}

#[derive(Debug, Clone)]
pub enum KeyMaterial {
    Secret(Secret<String>),
    /// Derived keys, each good for one day, region and service: a PoP that has them does not have the secret.
    Days(Vec<DayKey>),
    /// SigV4a only: the uncompressed P-256 point.
    Public(Vec<u8>),
}

#[derive(Debug, Clone)]
pub struct DayKey {
    /// `YYYYMMDD`.
    pub date: String,
    pub region: String,
    pub service: String,
    pub key: Secret<[u8; 32]>,
}

/// Public keys whose private halves sign URLs and cookies.
#[derive(Debug, Clone)]
pub struct KeyGroup {
    pub name: String,
    /// `Key-Pair-Id` and the key as PEM (SPKI, PKCS#1).
    pub keys: Vec<(String, String)>,
}

/// A function that decides.
#[derive(Debug, Clone)]
pub struct Authorizer {
    pub name: String,
    pub asks: Asks,
    pub kind: AuthorizerKind,
    /// What must be there, and what answers are kept by. Never empty for `Token` and when `ttl` is not 0.
    pub identity: Vec<IdentitySource>,
    /// What the value of a `Token`'s source must be, or the function is not asked.
    pub validate: Option<TokenPattern>,
    /// How long an answer is kept; 0 = not at all.
    pub ttl: Duration,
    /// Answers kept at once.
    pub entries: usize,
    /// What `methodArn` says; `$method` and `$path` are replaced.
    pub resource: String,
}

/// Which function decides.
#[derive(Debug, Clone)]
pub enum Asks {
    /// One of this PoP, with CPU and wall-clock time of one call.
    Function { id: FunctionId, cpu: Duration, timeout: Duration },
    /// The function of a Lambda origin.
    Lambda(Arc<LambdaOrigin>),
}

/// A regular expression that must fit a whole token (API Gateway's `identityValidationExpression`).
#[derive(Debug, Clone)]
pub struct TokenPattern(Regex);

// === impl TokenPattern ===
impl TokenPattern {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Alone first: it must not end the group that it is put into.
        let whole = Regex::new(text).and_then(|_| Regex::new(&format!(r"\A(?:{text})\z")));
        whole.map(TokenPattern).map_err(|error| {
            error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    pub fn fits(&self, token: &str) -> bool {
        self.0.is_match(token)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizerKind {
    /// API Gateway's TOKEN authorizer.
    Token,
    /// REQUEST, payload format 1.0: a policy document comes back.
    Request1,
    /// REQUEST, payload format 2.0: `isAuthorized`, or a policy document.
    Request2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    Header(HeaderName),
    Query(String),
    Cookie(String),
    Path,
    Method,
}

/// As the configuration writes it.
impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentitySource::Header(name) => write!(f, "header:{name}"),
            IdentitySource::Query(name) => write!(f, "query:{name}"),
            IdentitySource::Cookie(name) => write!(f, "cookie:{name}"),
            IdentitySource::Path => f.write_str("path"),
            IdentitySource::Method => f.write_str("method"),
        }
    }
}

/// What of who asks goes on. What viewers send under these names is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub header: Option<HeaderName>,
    /// Header and claim.
    pub claims: Vec<(HeaderName, String)>,
}

/// Address ranges.
#[derive(Debug, Clone)]
pub struct AddressList {
    pub name: String,
    pub nets: Arc<Vec<IpNet>>,
}

// === impl Identity ===
impl Identity {
    /// Every field that says something of who asks.
    pub fn names(&self) -> Vec<HeaderName> {
        self.header.iter().chain(self.claims.iter().map(|(name, _)| name)).cloned().collect()
    }
}

// === impl Rule ===
impl Rule {
    /// Whether a request that it lets in may have a principal.
    pub fn names_principal(&self) -> bool {
        match self {
            Rule::All(rules) | Rule::Any(rules) => rules.iter().any(Rule::names_principal),
            Rule::Not(_) | Rule::Signed(_) | Rule::Country(_) | Rule::Address(_) => false,
            Rule::ApiKey
            | Rule::AuthorizerKey
            | Rule::Jwt(_)
            | Rule::SigV4(_)
            | Rule::Authorizer(_)
            | Rule::Certificate(_) => true,
        }
    }

    /// Whether a request that it lets in may have claims: a token's, or an authorizer's context.
    pub fn gives_claims(&self) -> bool {
        match self {
            Rule::All(rules) | Rule::Any(rules) => rules.iter().any(Rule::gives_claims),
            Rule::Jwt(_) | Rule::Authorizer(_) => true,
            _ => false,
        }
    }

    /// Whether an authorizer beside each `AuthorizerKey` gives the key; `given` = one around it does.
    pub fn keys_are_given(&self, given: bool) -> bool {
        match self {
            Rule::AuthorizerKey => given,
            Rule::All(rules) => {
                let given = given || rules.iter().any(|rule| rule.any(&|rule| matches!(rule, Rule::Authorizer(_))));
                rules.iter().all(|rule| rule.keys_are_given(given))
            }
            Rule::Any(rules) | Rule::Not(rules) => rules.iter().all(|rule| rule.keys_are_given(given)),
            _ => true,
        }
    }

    /// Whether it looks at an API key and asks no authorizer, which may give one.
    pub fn waits_for_key(&self) -> bool {
        let key = |rule: &Rule| matches!(rule, Rule::ApiKey | Rule::AuthorizerKey);
        self.any(&key) && !self.any(&|rule| matches!(rule, Rule::Authorizer(_)))
    }

    /// Whether `is` holds for it or for any rule within it.
    pub fn any(&self, is: &impl Fn(&Rule) -> bool) -> bool {
        is(self)
            || match self {
                Rule::All(rules) | Rule::Any(rules) | Rule::Not(rules) => rules.iter().any(|rule| rule.any(is)),
                _ => false,
            }
    }
}
