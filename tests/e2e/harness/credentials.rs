//! Credentials: tokens and signatures, made as clients make them.
//!
//! In: claims, requests. Out: what a client sends. Never: a secret that anybody else knows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::{v4, v4a};
use aws_smithy_runtime_api::client::identity::Identity;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::HOST;

/// An issuer of tokens with one P-256 key.
pub struct Mint {
    kid: String,
    pair: EcdsaKeyPair,
}

// === impl Mint ===
impl Mint {
    pub fn new(kid: &str) -> Self {
        Mint { kid: kid.to_owned(), pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    /// The key set with these issuers' public keys.
    pub fn jwks(mints: &[&Mint]) -> String {
        let keys: Vec<Value> = mints
            .iter()
            .map(|mint| {
                let (x, y) = mint.pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": mint.kid, "x": b64(x), "y": b64(y)})
            })
            .collect();
        json!({ "keys": keys }).to_string()
    }

    /// A token with these claims that lives for an hour.
    pub fn token(&self, mut claims: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if claims.get("exp").is_none() {
            claims["exp"] = json!(now + 3600);
        }
        let signed =
            format!("{}.{}", b64(json!({"alg": "ES256", "kid": self.kid}).to_string()), b64(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature.as_ref()))
    }
}

fn b64(data: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(data)
}

type Pairs = Vec<(String, String)>;

/// How a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Aws<'a> {
    pub id: &'a str,
    pub secret: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    /// Send the body's hash in a field, as S3 clients do.
    pub tells_hash: bool,
    pub at: SystemTime,
}

// === impl Aws ===
impl Aws<'_> {
    /// The fields that AWS's own signer adds.
    pub fn fields(&self, method: &str, target: &str, body: &[u8]) -> Pairs {
        self.fields_with(method, target, &[], body)
    }

    /// The same, with more fields under the signature.
    pub fn fields_with(&self, method: &str, target: &str, more: &[(&str, &str)], body: &[u8]) -> Pairs {
        let (fields, _) = self.sign(method, target, more, body, SigningSettings::default());
        fields
    }

    /// The presigned target, good for five minutes.
    pub fn presigned(&self, target: &str) -> String {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(300));
        let (_, parameters) = self.sign("GET", target, &[], b"", settings);
        let mut target = target.to_owned();
        for (name, value) in parameters {
            target.push(if target.contains('?') { '&' } else { '?' });
            let value: String = value
                .bytes()
                .map(|b| match b {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
                    other => format!("%{other:02X}"),
                })
                .collect();
            target.push_str(&format!("{name}={value}"));
        }
        target
    }

    /// SigV4a, for a set of regions: the fields.
    pub fn fields_for_regions(&self, regions: &str, method: &str, target: &str) -> Pairs {
        let identity = self.identity();
        let params = v4a::SigningParams::builder().identity(&identity).region_set(regions).name(self.service);
        let params = params.time(self.at).settings(SigningSettings::default()).build().unwrap();
        let (fields, _, _) = signed(method, target, &[], SignableBody::Bytes(b""), &params.into());
        fields
    }

    /// A body in signed chunks of `size` bytes (`aws-chunked`), as S3 clients send it: the fields, and the body as it is sent.
    pub fn chunked(&self, method: &str, target: &str, body: &[u8], size: usize) -> (Pairs, Vec<u8>) {
        let identity = self.identity();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = self.params(&identity, settings);
        let length = body.len().to_string();
        let more = [("content-encoding", "aws-chunked"), ("x-amz-decoded-content-length", length.as_str())];
        let whole = SignableBody::Precomputed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned());
        let (mut fields, _, mut signature) = signed(method, target, &more, whole, &params.into());
        fields.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let params = self.params(&identity, ());
        let mut sent = Vec::new();
        for chunk in body.chunks(size).chain([&b""[..]]) {
            let chunk = Bytes::copy_from_slice(chunk);
            signature = v4::sign_chunk(&chunk, &signature, &params).unwrap().into_parts().1;
            sent.extend_from_slice(format!("{:x};chunk-signature={signature}\r\n", chunk.len()).as_bytes());
            sent.extend_from_slice(&chunk);
            sent.extend_from_slice(b"\r\n");
        }
        (fields, sent)
    }

    fn identity(&self) -> Identity {
        Credentials::new(self.id, self.secret, None, None, "test").into()
    }

    fn params<'s, S: Default>(&'s self, identity: &'s Identity, settings: S) -> v4::SigningParams<'s, S> {
        let params = v4::SigningParams::builder().identity(identity).region(self.region).name(self.service);
        params.time(self.at).settings(settings).build().unwrap()
    }

    fn sign(
        &self,
        method: &str,
        target: &str,
        more: &[(&str, &str)],
        body: &[u8],
        mut settings: SigningSettings,
    ) -> (Pairs, Pairs) {
        let identity = self.identity();
        if self.tells_hash {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = self.params(&identity, settings);
        let (fields, parameters, _) = signed(method, target, more, SignableBody::Bytes(body), &params.into());
        (fields, parameters)
    }
}

/// What a signer adds: fields, parameters of the query, and the signature that is among them.
fn signed(
    method: &str,
    target: &str,
    more: &[(&str, &str)],
    body: SignableBody<'_>,
    params: &SigningParams<'_>,
) -> (Pairs, Pairs, String) {
    let url = format!("http://{HOST}{target}");
    let fields = [("host", HOST)].into_iter().chain(more.iter().copied());
    let request = SignableRequest::new(method, &url, fields, body).unwrap();
    let (added, signature) = sign(request, params).unwrap().into_parts();
    let fields = added.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let parameters = added.params().iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    (fields, parameters, signature)
}

/// SHA-256 in hex, as `sha256sum` writes it.
pub fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fields as the raw client takes them.
pub fn borrowed(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
