//! Access: a behavior's `access`, and the tables `[[jwt]]`, `[[sigv4]]`, `[[key_group]]`, `[[authorizer]]` and `[[address_list]]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: files read, names resolved.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::origin::Reference;
use crate::config::units::Duration;

/// Who may come in: a word, or a table with one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A key in `x-api-key` that is known, enabled, and whose usage plans open this behavior's stage. Where an authorizer of the same `all`
    /// gives a key (`usageIdentifierKey`), that one counts.
    ApiKey,
    /// The same, with the key that an authorizer of the same `all` gives; what a viewer sends in `x-api-key` is not looked at (API Gateway's
    /// key source AUTHORIZER).
    AuthorizerKey,
    /// A client certificate that the listener verified.
    Certificate,
    /// A client certificate with one of these names (common name, DNS or URI subject alternative name); `*` is any run.
    CertificateName(Vec<String>),
    /// A client certificate that one of these authorities vouches for: a PEM file, with some of those in a listener's `client_ca`. Without it
    /// every authority of every listener counts alike, for every name.
    CertificateFrom(String),
    /// A token of this issuer: its name, or { issuer, scopes, groups }.
    Jwt(NameOr<JwtRule>),
    /// A request signed with an AWS access key: the name of a `[[sigv4]]`.
    Sigv4(String),
    /// A signed URL or signed cookies as CloudFront has them: the name of a `[[key_group]]`.
    Signed(String),
    /// A function that decides: the name of an `[[authorizer]]`.
    Authorizer(String),
    /// Viewers from these countries (ISO 3166-1 alpha-2), as the `geo` databases know them. An address whose country is not known is in
    /// none of them: `{ none = [{ country = ["DE"] }] }` lets it in.
    Country(Vec<String>),
    /// Viewers whose address is in this list: the name of an `[[address_list]]`.
    Address(String),
    /// Every one of these holds.
    All(Vec<Rule>),
    /// One of these holds; the first that does says who asks.
    Any(Vec<Rule>),
    /// None of these holds.
    None(Vec<Rule>),
}

/// Which tokens of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtRule {
    /// Required. Name of a `[[jwt]]`.
    pub issuer: String,
    /// One of them must be in the token's `scope` (or `scp`).
    #[serde(default)]
    pub scopes: Vec<String>,
    /// One of them must be in the token's groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A name, or the table that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum NameOr<T> {
    Name(String),
    Table(T),
}

/// An issuer of tokens: a Cognito user pool or any OIDC issuer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// Required. What rules call it; also in the log.
    pub name: String,
    /// Required. The `iss` claim, exactly: `https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI`.
    pub issuer: String,
    /// Where its keys are: a URL, or "file:path" for a set that does not change. Left out: the issuer with
    /// "/.well-known/jwks.json".
    #[serde(default)]
    pub jwks: Option<String>,
    /// `aud` must be one of these (`client_id`, where a token has no `aud`). Required: [] takes tokens meant for anybody.
    pub audience: Vec<String>,
    /// Cognito: take only "id" or only "access" tokens.
    #[serde(default)]
    pub token_use: Option<TokenUse>,
    /// Algorithms taken: RS256, RS384, RS512, PS256, ES256, ES384, EdDSA. A key takes none but its own.
    #[serde(default = "rs256")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// Claim that lists groups.
    #[serde(default = "cognito_groups")]
    pub groups_claim: String,
    /// Claim that names who asks.
    #[serde(default = "sub")]
    pub principal_claim: String,
    /// How far the issuer's clock may be from ours.
    #[serde(default)]
    pub leeway: Duration,
    /// Where the token is looked for, in this order: "header:authorization", "cookie:session", "query:token". Different tokens in
    /// two of them are refused.
    #[serde(default = "authorization")]
    pub from: Vec<String>,
    /// Keys are fetched anew in the background when they are this old.
    #[serde(default = "one_hour")]
    pub refresh: Duration,
    /// Keys that cannot be fetched anew serve until they are this old.
    #[serde(default = "one_day")]
    pub keep: Duration,
    /// Time one fetch of the keys may take.
    #[serde(default = "fetch_timeout")]
    pub timeout: Duration,
}

/// Cognito's two kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenUse {
    Id,
    Access,
}

/// Signature algorithms of tokens (RFC 7518).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JwtAlgorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "RS384")]
    Rs384,
    #[serde(rename = "RS512")]
    Rs512,
    #[serde(rename = "PS256")]
    Ps256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "ES384")]
    Es384,
    EdDSA,
}

/// Whose signatures are taken: SigV4 and SigV4a, in the Authorization header or presigned.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sigv4 {
    /// Required. What rules call it; also in the log.
    pub name: String,
    /// Service that clients sign for.
    #[serde(default = "execute_api")]
    pub service: String,
    /// Regions that clients may sign for; [] = any.
    #[serde(default)]
    pub regions: Vec<String>,
    /// How far a request's time may be from ours.
    #[serde(default = "fifteen_minutes")]
    pub skew: Duration,
    /// Take bodies that are not signed (UNSIGNED-PAYLOAD).
    #[serde(default)]
    pub unsigned_payload: bool,
    /// Take bodies in signed chunks (aws-chunked); the origin gets them without the chunks.
    #[serde(default)]
    pub chunked_payload: bool,
    /// `false` signs the path as S3 does: as it is.
    #[serde(default = "yes")]
    pub normalize: bool,
    /// Keys. A key that is not here is answered like a wrong signature.
    pub key: Vec<AccessKey>,
    /// What policies call the action.
    #[serde(default = "invoke")]
    pub action: String,
    /// What policies call the resource; `$region`, `$stage` (the behavior's, or "default"), `$method` and `$path` (without its "/") are
    /// replaced.
    #[serde(default = "execute_api_arn")]
    pub resource: String,
}

/// An access key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// Required. Access key id: "AKIAIOSFODNN7EXAMPLE".
    pub id: String,
    /// The secret: "env:NAME" or "file:path". One of `secret`, `days` and `public` is required.
    #[serde(default)]
    pub secret: Option<Reference>,
    /// Derived keys instead of the secret, as `rimward keys derive` prints them: "env:NAME" or "file:path".
    #[serde(default)]
    pub days: Option<Reference>,
    /// SigV4a only: the public key, as `rimward keys derive --public` prints it.
    #[serde(default)]
    pub public: Option<String>,
    /// Temporary credentials: the session token that requests must carry, "env:NAME" or "file:path".
    #[serde(default)]
    pub session_token: Option<Reference>,
    /// Who asks. Left out: "arn:aws:iam::000000000000:access-key/ID".
    #[serde(default)]
    pub principal: Option<String>,
    /// File with an IAM policy (JSON): what the key may do. Left out: everything that its signer covers.
    #[serde(default)]
    pub policy: Option<String>,
}

/// Public keys for signed URLs and cookies. Rotate by adding the new key before the old one goes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyGroup {
    /// Required. What rules call it.
    pub name: String,
    /// Required. The keys.
    pub key: Vec<GroupKey>,
}

/// A public key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupKey {
    /// Required. What `Key-Pair-Id` says.
    pub id: String,
    /// Required. PEM file with the public key: RSA of 2048 bits or more, or P-256.
    pub file: String,
}

/// A function that decides who may come in, as Lambda authorizers do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorizer {
    /// Required. What rules call it; also in the log.
    pub name: String,
    /// Name of a `[[function]]` that exports a Lambda handler. One of `function` and `lambda` is required.
    #[serde(default)]
    pub function: Option<String>,
    /// Name of an `[[origin]]` with `lambda`: its function decides.
    #[serde(default)]
    pub lambda: Option<String>,
    /// "token" (one header), "request" (payload format 1.0) or "request-2.0".
    #[serde(default)]
    pub kind: AuthorizerKind,
    /// What must be there, and what answers are kept by: "header:authorization", "query:key", "cookie:session", "path", "method".
    #[serde(default = "authorization")]
    pub identity: Vec<String>,
    /// Only with kind = "token": a regular expression that the whole token must match; one that does not is answered with 401, and the
    /// function is not called.
    #[serde(default)]
    pub validate: Option<String>,
    /// How long an answer is kept; "0s" asks every time.
    #[serde(default = "five_minutes")]
    pub ttl: Duration,
    /// Answers kept at once.
    #[serde(default = "ten_thousand")]
    pub entries: usize,
    /// What the event calls the resource; `$stage` (the behavior's, or "default"), `$method` and `$path` (without its "/") are replaced.
    #[serde(default = "authorizer_arn")]
    pub resource: String,
}

/// Which event an authorizer gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorizerKind {
    #[default]
    Token,
    Request,
    #[serde(rename = "request-2.0")]
    Request2,
}

/// Address ranges.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressList {
    /// Required. What rules call it.
    pub name: String,
    /// Networks or addresses: "192.0.2.0/24", "2001:db8::1".
    #[serde(default)]
    pub nets: Option<Vec<String>>,
    /// File with one a line; `#` begins a comment. A changed file is read at once.
    #[serde(default)]
    pub file: Option<String>,
}

/// What of who asks goes on: to functions, and to the origin.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Header that says who asks: a key's name, a token's `sub`, an ARN. What viewers send under that name is dropped.
    pub header: Option<String>,
    /// Headers that carry claims (of a token) or context (of an authorizer): { x-user-email = "email" }.
    pub claims: std::collections::BTreeMap<String, String>,
}

// === impl NameOr ===
struct NameOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NameOrVisitor<T> {
    type Value = NameOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or a table")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(NameOr::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(NameOr::Table)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NameOr<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NameOrVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for NameOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NameOr{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, schemas.subschema_for::<T>()] })
    }
}

/// One, or a list of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OneOrMany<T>(pub Vec<T>);

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table or a list of tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(OneOrMany(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let one = schemas.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
    }
}

fn rs256() -> Vec<JwtAlgorithm> {
    vec![JwtAlgorithm::Rs256]
}

fn cognito_groups() -> String {
    "cognito:groups".to_owned()
}

fn sub() -> String {
    "sub".to_owned()
}

fn authorization() -> Vec<String> {
    vec!["header:authorization".to_owned()]
}

fn execute_api() -> String {
    "execute-api".to_owned()
}

fn invoke() -> String {
    "execute-api:Invoke".to_owned()
}

fn execute_api_arn() -> String {
    "arn:aws:execute-api:$region:000000000000:rimward/$stage/$method/$path".to_owned()
}

fn authorizer_arn() -> String {
    "arn:aws:execute-api:us-east-1:000000000000:rimward/$stage/$method/$path".to_owned()
}

fn yes() -> bool {
    true
}

fn one_hour() -> Duration {
    Duration::secs(3600)
}

fn one_day() -> Duration {
    Duration::days(1)
}

fn fetch_timeout() -> Duration {
    Duration::millis(1500)
}

fn fifteen_minutes() -> Duration {
    Duration::secs(900)
}

fn five_minutes() -> Duration {
    Duration::secs(300)
}

fn ten_thousand() -> usize {
    10_000
}
