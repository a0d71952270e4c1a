//! Image: a WebAssembly component in a registry, named by the digest of its manifest.
//!
//! In: "oci://HOST/REPOSITORY@sha256:…", a manifest, copies on disk. Out: which component that is, verified. Never: a network, a tag that is
//! trusted.
//!
//! Sources: the OCI distribution and image specifications 1.1, and the CNCF's "Wasm OCI Artifact layout".

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::Diagnostic;
use super::secret::Secret;

/// How an image is told from a path.
pub const SCHEME: &str = "oci://";
/// The directory, beside a configuration text, in which a revision has its images.
pub const BESIDE: &str = "oci";
/// Bytes of a manifest: what the specification wants registries to take.
pub const MANIFEST_MAX: u64 = 4 << 20;
/// Bytes of a component.
pub const COMPONENT_MAX: u64 = 64 << 20;
/// Bytes of a reference.
const TEXT_MAX: usize = 1024;
/// Layers of WebAssembly: wkg and other tools of the CNCF's layout, and wasm-to-oci.
const COMPONENTS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/// A component, by digest: it never means another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// With a port, if one is written.
    pub host: String,
    pub repository: String,
    /// SHA-256 of the manifest, 64 hex digits.
    pub digest: String,
}

/// What of a manifest matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// SHA-256, 64 hex digits.
    pub digest: String,
    pub size: u64,
}

/// An image that is named and not here.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub image: Image,
    /// The directory that keeps it.
    pub dir: PathBuf,
    /// User name and password for its registry.
    pub login: Option<(String, Secret<String>)>,
    /// Where it is named.
    pub place: Diagnostic,
}

/// Why a text is no image, or bytes are not it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    #[error("'{0}' is no image")]
    Shape(String),
    #[error("'{0}' names no digest, and what a tag means may change")]
    NoDigest(String),
    #[error("the manifest is not what its digest says")]
    Manifest,
    #[error("the component is not what the manifest says")]
    Component,
    #[error("its manifest cannot be read: {0}")]
    Unreadable(String),
    #[error("it is a list of images: name the digest of one of them")]
    List,
    #[error("it has {found} layers of WebAssembly, and has to have one; its layers are {types}")]
    Layers { found: usize, types: String },
    #[error("its component has {size} bytes, {COMPONENT_MAX} are allowed")]
    Size { size: u64 },
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

// === impl Image ===
impl Image {
    /// `oci://HOST[:PORT]/REPOSITORY[:TAG]@sha256:DIGEST`; the tag is for people.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let shape = || ImageError::Shape(text.to_owned());
        let rest = text.strip_prefix(SCHEME).filter(|_| text.len() <= TEXT_MAX).ok_or_else(shape)?;
        let (host, path) = rest.split_once('/').ok_or_else(shape)?;
        let (name, digest) = match path.split_once('@') {
            Some((name, digest)) => (name, Some(digest.strip_prefix("sha256:").and_then(hex).ok_or_else(shape)?)),
            None => (path, None),
        };
        let (repository, tag) = name.split_once(':').map_or((name, None), |(name, tag)| (name, Some(tag)));
        let tagged = tag.is_none_or(|tag| {
            (1..=128).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        });
        if !is_host(host) || !is_repository(repository) || !tagged {
            return Err(shape());
        }
        let digest = digest.ok_or_else(|| ImageError::NoDigest(text.to_owned()))?;
        Ok(Image { host: host.to_ascii_lowercase(), repository: repository.to_owned(), digest })
    }

    /// Where a directory has the manifest and the component.
    pub fn files(&self, dir: &Path) -> [PathBuf; 2] {
        ["json", "wasm"].map(|extension| dir.join(format!("{}.{extension}", self.digest)))
    }

    /// The copy in `dir`, if it is whole and right.
    pub fn kept(&self, dir: &Path) -> Option<[PathBuf; 2]> {
        let files = self.files(dir);
        let [manifest, component] = &files;
        let layer = self.layer(&read(manifest, MANIFEST_MAX)?).ok()?;
        layer.is(&read(component, layer.size)?).then_some(files)
    }

    /// The component that a manifest names, once it is this image's.
    pub fn layer(&self, manifest: &[u8]) -> Result<Layer, ImageError> {
        if sha256(manifest) != self.digest {
            return Err(ImageError::Manifest);
        }
        let unreadable = |what: &dyn fmt::Display| ImageError::Unreadable(what.to_string());
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| unreadable(&error))?;
        if !manifest.manifests.is_empty() {
            return Err(ImageError::List);
        }
        let mut components = manifest.layers.iter().filter(|layer| COMPONENTS.contains(&layer.media_type.as_str()));
        match (components.next(), components.count()) {
            (Some(one), 0) if one.size > COMPONENT_MAX => Err(ImageError::Size { size: one.size }),
            (Some(one), 0) => {
                let digest = one.digest.strip_prefix("sha256:").and_then(hex);
                let digest = digest.ok_or_else(|| unreadable(&"its layer's digest is no SHA-256"))?;
                Ok(Layer { digest, size: one.size })
            }
            (first, more) => {
                let types: Vec<_> = manifest.layers.iter().take(9).map(|layer| layer.media_type.as_str()).collect();
                let types = if types.is_empty() { "none".to_owned() } else { types.join(", ") };
                Err(ImageError::Layers { found: more + usize::from(first.is_some()), types })
            }
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}@sha256:{}", self.host, self.repository, self.digest)
    }
}

// === impl Layer ===
impl Layer {
    /// Whether these bytes are it.
    pub fn is(&self, component: &[u8]) -> bool {
        component.len() as u64 == self.size && sha256(component) == self.digest
    }
}

// === impl ImageError ===
impl ImageError {
    /// What to do about a text that is no image.
    pub fn help(&self) -> String {
        let written = "write oci://HOST/REPOSITORY@sha256:DIGEST";
        match self {
            ImageError::NoDigest(text) => {
                let named = text.trim_start_matches(SCHEME);
                format!("{written}; `oras resolve {named}` or `crane digest {named}` print the digest")
            }
            _ => format!("{written}, with 64 hex digits"),
        }
    }
}

/// 64 lower-case hex digits.
fn hex(text: &str) -> Option<String> {
    let hex = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then(|| text.to_owned())
}

pub(super) fn is_host(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    authority.is_ok_and(|authority| {
        let port = text.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
        !text.contains('@')
            && !authority.host().is_empty()
            && (text == authority.host() || port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)))
    })
}

/// Parts of lower-case letters, digits and single separators between them (distribution specification, "Pulling manifests").
fn is_repository(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.split('/').all(|part| {
        let ends = |b: Option<&u8>| b.is_some_and(|b| letter(*b));
        let bytes = part.as_bytes();
        ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|b| letter(*b) || b"._-".contains(b))
    })
}

fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most.saturating_add(1)).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WASM: &str = "application/wasm";

    fn image(manifest: &[u8]) -> Image {
        Image { host: "r.test".into(), repository: "a/b".into(), digest: sha256(manifest) }
    }

    fn manifest(layers: &[(&str, &[u8])]) -> Vec<u8> {
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, bytes)| serde_json::json!({ "mediaType": kind, "digest": format!("sha256:{}", sha256(bytes)), "size": bytes.len() }))
            .collect();
        serde_json::json!({ "schemaVersion": 2, "config": {}, "layers": layers }).to_string().into_bytes()
    }

    #[test]
    fn references() {
        let d = "0123456789abcdef".repeat(4);
        for (text, want) in [
            (format!("oci://ghcr.io/a/b-c_d@sha256:{d}"), Some(("ghcr.io", "a/b-c_d"))),
            (format!("oci://localhost:5000/a:v1.2@sha256:{d}"), Some(("localhost:5000", "a"))),
            (format!("oci://[::1]:5000/a@sha256:{d}"), Some(("[::1]:5000", "a"))),
            (format!("oci://R.Test/a@sha256:{d}"), Some(("r.test", "a"))),
            (format!("oci://r.test/A@sha256:{d}"), None),
            (format!("oci://r.test/../a@sha256:{d}"), None),
            (format!("oci://r.test/a//b@sha256:{d}"), None),
            (format!("oci://r.test/a?b@sha256:{d}"), None),
            (format!("oci://u:p@r.test/a@sha256:{d}"), None),
            (format!("oci://r.test:0/a@sha256:{d}"), None),
            (format!("oci://r.test:port/a@sha256:{d}"), None),
            (format!("oci:///a@sha256:{d}"), None),
            (format!("oci://r.test@sha256:{d}"), None),
            (format!("oci://r.test/a@sha512:{d}"), None),
            (format!("oci://r.test/a@sha256:{}", d.to_uppercase()), None),
            ("oci://r.test/a@sha256:abc".to_owned(), None),
        ] {
            let got = Image::parse(&text);
            let got = got.as_ref().ok().map(|image| (image.host.as_str(), image.repository.as_str()));
            assert_eq!(got, want, "{text}");
        }
        for text in ["oci://r.test/a:latest", "oci://r.test/a"] {
            let error = Image::parse(text).unwrap_err();
            assert_eq!(error, ImageError::NoDigest(text.to_owned()));
            assert!(error.help().contains(&format!("`oras resolve {}`", &text[6..])), "{}", error.help());
        }
        let image = Image::parse(&format!("oci://r.test/a:v1@sha256:{d}")).unwrap();
        assert_eq!(image.to_string(), format!("oci://r.test/a@sha256:{d}"));
    }

    #[test]
    fn a_manifest_names_one_component() {
        let text = "text/plain";
        let other = "application/vnd.wasm.content.layer.v1+wasm";
        for (layers, want) in [
            (&[(WASM, &b"one"[..])][..], Ok(b"one")),
            (&[(other, b"one")], Ok(b"one")),
            (&[(text, b"read me"), (WASM, b"one")], Ok(b"one")),
            (&[(WASM, b"one"), (WASM, b"two")], Err(2)),
            (&[(WASM, b"one"), (other, b"one")], Err(2)),
            (&[(text, b"one")], Err(0)),
            (&[], Err(0)),
        ] {
            let manifest = manifest(layers);
            match (image(&manifest).layer(&manifest), want) {
                (Ok(layer), Ok(bytes)) => assert!(layer.is(bytes) && !layer.is(b"ane") && !layer.is(b"on")),
                (Err(ImageError::Layers { found, .. }), Err(want)) => assert_eq!(found, want),
                (got, _) => panic!("{layers:?}: {got:?}"),
            }
        }
        let good = manifest(&[(WASM, b"one")]);
        assert_eq!(image(b"another").layer(&good), Err(ImageError::Manifest));
        let list = br#"{"schemaVersion":2,"manifests":[{"digest":"x"}]}"#;
        assert_eq!(image(list).layer(list), Err(ImageError::List));
        for broken in [&b"{"[..], br#"{"layers":[{"mediaType":"application/wasm","digest":"md5:a","size":1}]}"#] {
            assert!(matches!(image(broken).layer(broken), Err(ImageError::Unreadable(_))));
        }
        let large = format!(r#"{{"layers":[{{"mediaType":"{WASM}","digest":"sha256:a","size":{}}}]}}"#, u64::MAX);
        assert_eq!(image(large.as_bytes()).layer(large.as_bytes()), Err(ImageError::Size { size: u64::MAX }));
    }

    #[test]
    fn a_copy_counts_only_when_it_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let text = manifest(&[(WASM, b"one")]);
        let image = image(&text);
        let [json, wasm] = image.files(dir.path());
        assert_eq!(image.kept(dir.path()), None);
        std::fs::write(&json, &text).unwrap();
        assert_eq!(image.kept(dir.path()), None, "half of it");
        for (bytes, right) in [(&b"one"[..], true), (b"on", false), (b"ones", false), (b"two", false)] {
            std::fs::write(&wasm, bytes).unwrap();
            assert_eq!(image.kept(dir.path()).is_some(), right, "{bytes:?}");
        }
        std::fs::write(&wasm, "one").unwrap();
        std::fs::write(&json, manifest(&[(WASM, b"two")])).unwrap();
        assert_eq!(image.kept(dir.path()), None, "another manifest");
    }
}
