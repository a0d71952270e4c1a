//! Registry: a real OCI registry, and images pushed to it.
//!
//! In: layers. Out: the digest to pull an image by. Never: a port or a directory shared with another test.
//!
//! The server is Debian's `docker-registry`, which `./test` installs.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::pop::free_port;
use super::raw::request;
use super::{Raw, until};

const BINARY: &str = "docker-registry";
pub const WASM: &str = "application/wasm";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What images of the CNCF's layout have as their configuration.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

pub struct Registry {
    pub address: SocketAddr,
    dir: TempDir,
    child: Child,
}

// === impl Registry ===
impl Registry {
    pub fn start() -> Self {
        let (address, dir) = (free_port(), TempDir::new().unwrap());
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{address}\" }}\n",
            dir.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(BINARY)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{BINARY} (apt-get install docker-registry): {error}"));
        until("the registry to listen", || TcpStream::connect(address).ok());
        Registry { address, dir, child }
    }

    /// Ends it; what it had is gone.
    pub fn stop(mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }

    /// Pushes an image of these layers and says how it is named.
    pub fn push(&self, repository: &str, layers: &[(&str, &[u8])]) -> String {
        let describe = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": self.blob(repository, bytes), "size": bytes.len() });
        let layers: Vec<_> = layers.iter().map(|(kind, bytes)| describe(kind, bytes)).collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, b"{}"), "layers": layers });
        let manifest = manifest.to_string();
        let digest = digest(manifest.as_bytes());
        let path = format!("/v2/{repository}/manifests/{digest}");
        let mut raw = Raw::connect(self.address);
        raw.send(request("PUT", &path, &[("Content-Type", MANIFEST)], manifest.as_bytes()));
        let reply = raw.reply("PUT");
        assert_eq!(reply.status, 201, "{}", reply.text());
        format!("oci://{}/{repository}@{digest}", self.address)
    }

    /// Where the registry keeps what has this digest ("sha256:…").
    pub fn file(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.dir.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }

    fn blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let mut raw = Raw::connect(self.address);
        let begun = raw.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[("Content-Length", "0")]);
        assert_eq!(begun.status, 202, "{}", begun.text());
        let place = begun.field("location").unwrap().to_owned();
        let path = &place[place.find("/v2/").unwrap()..];
        raw.send(request("PUT", &format!("{path}&digest={digest}"), &[], bytes));
        let reply = raw.reply("PUT");
        assert_eq!(reply.status, 201, "{}", reply.text());
        digest
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

pub fn digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
