//! Manifest: one signed act on what all PoPs serve.
//!
//! In: an envelope from anywhere, the keys that are trusted. Out: what it says, once its signature holds; envelopes to publish. Never: a
//! manifest whose exact bytes were not signed by a trusted key, a path that leads out of its directory.

use std::collections::HashSet;
use std::path::PathBuf;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config::secret::Secret;
use crate::fleet::bus::Digest;

/// The only format there is.
const FORMAT: u32 = 1;
/// Files of one revision; bytes of a path, of an author's name and of a note; PoPs that a canary names.
pub const FILES_MAX: usize = 10_000;
const PATH_MAX: usize = 1024;
const TEXT_MAX: usize = 1024;
const POPS_MAX: usize = 1000;
/// Bytes of an envelope: what the bus takes in one message. Some 4000 files fit.
pub const ENVELOPE_MAX: usize = 900_000;
/// How keys are written.
const KIND: &str = "ed25519:";

/// What is done, in the order of serial numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// The manifest's files, for every viewer of every PoP.
    Deploy,
    /// The manifest's files, for a share of the viewers of some PoPs; "*" are all PoPs.
    Canary { pops: Vec<String>, percent: u8 },
    /// The canary of this serial number, for every viewer.
    Promote { serial: u64 },
    /// The files of this serial number again; 0 = each node's own files alone. Ends a canary.
    Rollback { serial: u64 },
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    /// Milliseconds since the epoch when it was made, or more: it only grows.
    pub serial: u64,
    pub act: Act,
    /// Who, in words.
    pub author: String,
    pub note: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// In the order of their paths.
    pub files: Vec<Item>,
    /// Names the configuration, as `rimward check` does.
    pub digest: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Relative, with '/'.
    pub path: String,
    /// SHA-256, hex.
    pub digest: String,
    pub size: u64,
    /// Only its owner may read it.
    pub secret: bool,
}

/// A manifest's exact bytes and who stands for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// JSON of a [`Manifest`] as base64.
    manifest: String,
    /// "ed25519:" and the public key as base64.
    key: String,
    /// As base64.
    signature: String,
}

/// Why a manifest is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    #[error("this is no signed manifest: {0}")]
    Shape(String),
    #[error("the key {0} is not among `fleet.trust`")]
    Stranger(String),
    #[error("the signature does not hold")]
    Signature,
    #[error("format {0} is not known here: this PoP is older than what signed it")]
    Format(u32),
    #[error("{0:?} is no path within a revision")]
    Path(String),
    #[error("{0:?} is there twice")]
    Twice(String),
    #[error("the digest of {0:?} is not 64 hex digits")]
    Digest(String),
    #[error("its files have {size} bytes together, `fleet.revision_size` allows {bound}")]
    Size { size: u64, bound: u64 },
    #[error("{0}")]
    Rule(&'static str),
    #[error("its number {serial} does not come after {newest}, which was accepted already")]
    Replayed { serial: u64, newest: u64 },
}

/// A private key that signs manifests.
pub struct DeployKey(Ed25519KeyPair);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("cannot read the key {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} holds no ed25519 key as `rimward deploy --new-key` makes it", path.display())]
    Kind { path: PathBuf },
    #[error("no key could be made")]
    Make,
}

// === impl Envelope ===
impl Envelope {
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > ENVELOPE_MAX {
            return Err(ManifestError::Shape(format!("more than {ENVELOPE_MAX} bytes")));
        }
        serde_json::from_slice(bytes).map_err(|error| ManifestError::Shape(error.to_string()))
    }

    pub fn bytes(&self) -> Bytes {
        // Three texts cannot fail to be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// The public key that it names.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it says, if a key of `trust` signed it and it keeps every rule. `bound` is `fleet.revision_size`.
    pub fn open(&self, trust: &[[u8; 32]], bound: u64) -> Result<Manifest, ManifestError> {
        let shape = |what: &str| ManifestError::Shape(format!("its {what} cannot be read"));
        let key =
            self.key.strip_prefix(KIND).and_then(|text| STANDARD.decode(text).ok()).ok_or_else(|| shape("key"))?;
        if !trust.iter().any(|known| known[..] == key[..]) {
            return Err(ManifestError::Stranger(self.key.clone()));
        }
        let signature = STANDARD.decode(&self.signature).map_err(|_| shape("signature"))?;
        let bytes = STANDARD.decode(&self.manifest).map_err(|_| shape("manifest"))?;
        let signer = UnparsedPublicKey::new(&ED25519, &key);
        signer.verify(&bytes, &signature).map_err(|_| ManifestError::Signature)?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| ManifestError::Shape(error.to_string()))?;
        manifest.check(bound)?;
        Ok(manifest)
    }
}

// === impl Manifest ===
impl Manifest {
    pub fn new(serial: u64, act: Act, author: String, note: String, created_ms: u64) -> Self {
        Manifest { format: FORMAT, serial, act, author, note, created_ms, files: Vec::new(), digest: String::new() }
    }

    /// Signed as it is now.
    pub fn seal(&self, key: &DeployKey) -> Envelope {
        // Texts, numbers and lists of them cannot fail to be written.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        let signature = key.0.sign(&bytes);
        Envelope {
            manifest: STANDARD.encode(&bytes),
            key: key.public(),
            signature: STANDARD.encode(signature.as_ref()),
        }
    }

    /// Refuses what is not newer than everything before it: a copy of an old manifest has an old number.
    pub fn after(&self, newest: u64) -> Result<(), ManifestError> {
        match self.serial > newest {
            true => Ok(()),
            false => Err(ManifestError::Replayed { serial: self.serial, newest }),
        }
    }

    /// Bytes of its files together.
    pub fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    fn check(&self, bound: u64) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::Format(self.format));
        }
        let brings = matches!(self.act, Act::Deploy | Act::Canary { .. });
        if self.serial == 0 {
            return Err(ManifestError::Rule("its number is 0"));
        }
        if self.author.len() > TEXT_MAX || self.note.len() > TEXT_MAX || self.digest.len() > TEXT_MAX {
            return Err(ManifestError::Rule("its author, note or digest is too long"));
        }
        if self.files.is_empty() == brings {
            return Err(ManifestError::Rule("a deploy or canary has files, and nothing else has"));
        }
        if self.files.len() > FILES_MAX {
            return Err(ManifestError::Rule("it has too many files"));
        }
        if let Act::Canary { pops, percent } = &self.act
            && (pops.is_empty() || pops.len() > POPS_MAX || !(1..=100).contains(percent))
        {
            return Err(ManifestError::Rule("a canary has PoPs, and 1 to 100 percent of their viewers"));
        }
        let mut paths = HashSet::new();
        for file in &self.files {
            if !is_within(&file.path) {
                return Err(ManifestError::Path(file.path.clone()));
            }
            if Digest::parse(&file.digest).is_none() {
                return Err(ManifestError::Digest(file.path.clone()));
            }
            if !paths.insert(file.path.as_str()) {
                return Err(ManifestError::Twice(file.path.clone()));
            }
        }
        match self.size() > bound {
            true => Err(ManifestError::Size { size: self.size(), bound }),
            false => Ok(()),
        }
    }
}

/// Whether a path stays in its directory, however it is read.
pub fn is_within(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= PATH_MAX && !path.contains(['\\', '\0']) && path.split('/').all(part)
}

// === impl DeployKey ===
impl DeployKey {
    /// A new key, and how it is kept: PKCS#8.
    pub fn make() -> Result<(Self, Secret<Vec<u8>>), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Make)?;
        let kept = pair.to_pkcs8().map_err(|_| KeyError::Make)?.as_ref().to_vec();
        Ok((DeployKey(pair), Secret::new(kept)))
    }

    /// PKCS#8 in a file.
    pub fn read(path: &std::path::Path) -> Result<Self, KeyError> {
        let bytes = std::fs::read(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| KeyError::Kind { path: path.to_owned() })?;
        Ok(DeployKey(pair))
    }

    /// As `fleet.trust` has it, compiled.
    #[cfg(test)]
    pub(in crate::fleet) fn trusted(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    /// As `fleet.trust` has it.
    pub fn public(&self) -> String {
        format!("{KIND}{}", STANDARD.encode(self.0.public_key().as_ref()))
    }
}

impl std::fmt::Debug for DeployKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DeployKey").field(&self.public()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, size: u64) -> Item {
        Item { path: path.to_owned(), digest: Digest::of(path.as_bytes()).to_string(), size, secret: false }
    }

    fn deploy(serial: u64, files: Vec<Item>) -> Manifest {
        let new = Manifest::new(serial, Act::Deploy, "ada".to_owned(), String::new(), 1);
        Manifest { files, ..new }
    }

    #[test]
    fn only_what_a_trusted_key_signed_is_opened() {
        let (key, kept) = DeployKey::make().unwrap();
        let (other, _) = DeployKey::make().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, kept.expose()).unwrap();
        assert_eq!(DeployKey::read(&path).unwrap().public(), key.public());
        let manifest = deploy(7, vec![item("edge.toml", 9)]);
        let sealed = manifest.seal(&key);
        let trust = [other.trusted(), key.trusted()];
        let again = Envelope::parse(&sealed.bytes()).unwrap();
        assert_eq!(again.open(&trust, 9).unwrap(), manifest);
        let changed = |path: &str| STANDARD.encode(serde_json::to_vec(&deploy(8, vec![item(path, 9)])).unwrap());
        for (name, envelope, trust, want) in [
            ("nobody is trusted", sealed.clone(), &[][..], ManifestError::Stranger(key.public())),
            ("somebody else is", sealed.clone(), &trust[..1], ManifestError::Stranger(key.public())),
            (
                "other bytes",
                Envelope { manifest: changed("edge.toml"), ..sealed.clone() },
                &trust,
                ManifestError::Signature,
            ),
            ("another's name", Envelope { key: other.public(), ..sealed.clone() }, &trust, ManifestError::Signature),
            (
                "another's signature",
                Envelope { signature: manifest.seal(&other).signature, ..sealed.clone() },
                &trust,
                ManifestError::Signature,
            ),
        ] {
            assert_eq!(envelope.open(trust, 9).unwrap_err(), want, "{name}");
        }
        for cut in 0..sealed.bytes().len() {
            assert!(Envelope::parse(&sealed.bytes()[..cut]).is_err());
        }
    }

    #[test]
    fn rules() {
        let (key, _) = DeployKey::make().unwrap();
        let trust = [key.trusted()];
        let good = deploy(7, vec![item("edge.toml", 5), item("fn/a.wasm", 5)]);
        let canary =
            |percent, pops: &[&str]| Act::Canary { pops: pops.iter().map(|p| (*p).to_owned()).collect(), percent };
        let with = |act| Manifest { act, ..good.clone() };
        for (name, manifest, bad) in [
            ("as it should be", good.clone(), false),
            ("a canary", with(canary(10, &["FRA"])), false),
            ("nobody's canary", with(canary(10, &[])), true),
            ("a canary of nothing", with(canary(0, &["*"])), true),
            ("a canary of too much", with(canary(101, &["*"])), true),
            ("a rollback with files", with(Act::Rollback { serial: 1 }), true),
            ("a deploy without", deploy(7, Vec::new()), true),
            ("too large", deploy(7, vec![item("a", 6), item("b", 5)]), true),
            ("sizes that overflow", deploy(7, vec![item("a", u64::MAX), item("b", u64::MAX)]), true),
            ("twice", deploy(7, vec![item("a", 1), item("a", 1)]), true),
            ("no number", deploy(0, vec![item("a", 1)]), true),
            ("another format", Manifest { format: 2, ..good.clone() }, true),
            ("no digest", deploy(7, vec![Item { digest: "ab".to_owned(), ..item("a", 1) }]), true),
        ] {
            assert_eq!(manifest.seal(&key).open(&trust, 10).is_err(), bad, "{name}");
        }
        for path in ["/etc/passwd", "../a", "a/../b", "a//b", "./a", "", "a/", "a\\..\\b", "a\0", ".."] {
            let sealed = deploy(7, vec![item(path, 1)]).seal(&key);
            assert_eq!(sealed.open(&trust, 10).unwrap_err(), ManifestError::Path(path.to_owned()));
        }
        assert_eq!(good.after(6), Ok(()));
        for newest in [7, 8] {
            assert_eq!(good.after(newest), Err(ManifestError::Replayed { serial: 7, newest }));
        }
    }
}
