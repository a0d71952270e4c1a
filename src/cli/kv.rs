//! Kv: the commands that read and change a running PoP's key-value stores.
//!
//! In: parsed arguments. Out: values on standard output, an error otherwise. Never: a write over what somebody else wrote
//! meanwhile: each names the version that it changes, and is made again when another one came between.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use http::header::{ETAG, IF_MATCH};
use http::{Method, Response};
use serde::Deserialize;

use super::Access;
use super::admin::Failed;
use super::client::{Client, ClientError};

/// Keys of one update: what every store takes at once.
const BATCH_KEYS: usize = 50;
/// Bytes of keys and values of one update.
const BATCH_BYTES: usize = 2 << 20;
/// Keys of one page of a list.
const PAGE: usize = 50;
/// How often a write is made again because another one came first.
const ATTEMPTS: usize = 5;
/// Bytes of a value from standard input or a file.
const VALUE_MAX: u64 = 16 << 20;

/// Read and change the key-value stores of a running PoP
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward kv put flags beta on           set a key\n  \
    rimward kv get flags beta              print its value\n  \
    rimward kv list flags                  every key and value, tab-separated\n  \
    rimward kv put pages /robots.txt --file robots.txt\n  \
    rimward kv import flags flags.json     {\"data\": [{\"key\": \"beta\", \"value\": \"on\"}]}\n\n\
    A store is a [[kv_store]] of the configuration. Functions see a change at their next call.")]
pub struct Kv {
    #[command(subcommand)]
    pub command: KvCommand,
}

#[derive(Debug, Subcommand)]
pub enum KvCommand {
    /// Print the value of a key; exit code 1 when there is none
    Get(Get),
    /// Set a key
    Put(Put),
    /// Remove a key; exit code 1 when there is none
    Delete(Get),
    /// Print every key and value
    List(List),
    /// Set every key of a file in CloudFront's import format
    Import(Import),
}

#[derive(Debug, Args)]
pub struct Get {
    /// Name of the store
    pub store: String,
    #[arg(value_parser = key)]
    pub key: String,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct Put {
    /// Name of the store
    pub store: String,
    #[arg(value_parser = key)]
    pub key: String,
    /// The value, as text
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub value: Option<String>,
    /// Take the value from this file instead; - is standard input
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct List {
    /// Name of the store
    pub store: String,
    /// Print the keys alone
    #[arg(long)]
    pub keys: bool,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct Import {
    /// Name of the store
    pub store: String,
    /// {"data": [{"key": "…", "value": "…"}]}; keys that are not in it stay as they are
    pub file: PathBuf,
    #[command(flatten)]
    pub access: Access,
}

/// Why a command on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("store '{store}': {reason}")]
    Refused { store: String, status: u16, reason: String },
    #[error("store '{store}': others changed it {ATTEMPTS} times while this was tried")]
    Busy { store: String },
}

/// The file of an import.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportFile {
    data: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    #[serde(default)]
    key: String,
    value: String,
    /// "base64" where a function wrote what is not text.
    encoding: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    items: Vec<Item>,
    next_token: Option<String>,
}

/// An error answer in AWS's form.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    message: String,
}

/// One store of one PoP.
struct Store<'s> {
    client: Client,
    name: &'s str,
}

pub fn run(kv: &Kv, out: &mut impl Write) -> Result<(), Failed> {
    match &kv.command {
        KvCommand::Get(get) => {
            let item = Store::new(&get.store, &get.access)?.get(&get.key)?;
            out.write_all(&item.bytes())?;
            writeln!(out)?;
        }
        KvCommand::Put(put) => {
            let value = value(put)?;
            Store::new(&put.store, &put.access)?.put(&put.key, &value)?;
        }
        KvCommand::Delete(delete) => Store::new(&delete.store, &delete.access)?.delete(&delete.key)?,
        KvCommand::List(list) => Store::new(&list.store, &list.access)?.list(list.keys, out)?,
        KvCommand::Import(import) => {
            let lines = lines(&import.file)?;
            Store::new(&import.store, &import.access)?.import(&lines)?;
            writeln!(out, "{} keys set in {}", lines.len(), import.store)?;
        }
    }
    Ok(())
}

// === impl KvError ===
impl KvError {
    /// 2 when the command line is to blame, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            KvError::Read { .. } | KvError::File { .. } | KvError::Refused { status: 400, .. } => 2,
            KvError::Refused { .. } | KvError::Busy { .. } => 1,
        }
    }
}

// === impl Store ===
impl<'s> Store<'s> {
    fn new(name: &'s str, access: &Access) -> Result<Self, ClientError> {
        Ok(Store { client: Client::new(access)?, name })
    }

    fn get(&self, key: &str) -> Result<Item, Failed> {
        self.read(&self.ask(&Method::GET, &self.key(key), None, String::new())?)
    }

    fn put(&self, key: &str, value: &str) -> Result<(), Failed> {
        let body = serde_json::json!({ "Value": value }).to_string();
        self.write(&Method::PUT, &self.key(key), &body)
    }

    fn delete(&self, key: &str) -> Result<(), Failed> {
        self.write(&Method::DELETE, &self.key(key), "")
    }

    fn list(&self, keys: bool, out: &mut impl Write) -> Result<(), Failed> {
        let mut query = format!("?MaxResults={PAGE}");
        loop {
            let answer = self.ask(&Method::GET, &format!("{}/keys{query}", self.path()), None, String::new())?;
            let page: Page = self.read(&answer)?;
            for item in &page.items {
                match keys {
                    true => writeln!(out, "{}", item.key)?,
                    false => writeln!(out, "{}\t{}", item.key, item.value)?,
                }
            }
            let Some(token) = page.next_token else { return Ok(()) };
            query = format!("?MaxResults={PAGE}&NextToken={}", encoded(&token));
        }
    }

    fn import(&self, lines: &[Line]) -> Result<(), Failed> {
        for batch in batches(lines) {
            let puts: Vec<_> =
                batch.iter().map(|line| serde_json::json!({ "Key": line.key, "Value": line.value })).collect();
            let body = serde_json::json!({ "Puts": puts }).to_string();
            self.write(&Method::POST, &format!("{}/keys", self.path()), &body)?;
        }
        Ok(())
    }

    /// Writes on the version that is there now.
    fn write(&self, method: &Method, path: &str, body: &str) -> Result<(), Failed> {
        for _ in 0..ATTEMPTS {
            let described = self.ask(&Method::GET, &self.path(), None, String::new())?;
            let etag = described.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
            match self.ask(method, path, Some(etag), body.to_owned()) {
                Err(Failed::Kv(KvError::Refused { status: 409, .. })) => {}
                other => return other.map(drop),
            }
        }
        Err(KvError::Busy { store: self.name.to_owned() }.into())
    }

    fn ask(&self, method: &Method, path: &str, etag: Option<&str>, json: String) -> Result<Response<Vec<u8>>, Failed> {
        let fields: Vec<_> = etag.map(|etag| (IF_MATCH, etag)).into_iter().collect();
        let answer = self.client.ask(method, path, &fields, json)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let Ok(Refusal { message }) = serde_json::from_slice(answer.body()) else {
            return Err(self.client.refused(status, answer.body()).into());
        };
        Err(KvError::Refused { store: self.name.to_owned(), status, reason: message }.into())
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, answer: &Response<Vec<u8>>) -> Result<T, Failed> {
        let stranger = |_| self.client.refused(answer.status().as_u16(), answer.body());
        Ok(serde_json::from_slice(answer.body()).map_err(stranger)?)
    }

    fn path(&self) -> String {
        format!("/key-value-stores/{}", encoded(self.name))
    }

    fn key(&self, key: &str) -> String {
        format!("{}/keys/{}", self.path(), encoded(key))
    }
}

// === impl Item ===
impl Item {
    fn bytes(&self) -> Vec<u8> {
        let decoded = self.encoding.as_ref().and_then(|_| STANDARD.decode(&self.value).ok());
        decoded.unwrap_or_else(|| self.value.clone().into_bytes())
    }
}

fn key(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("the key is empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn value(put: &Put) -> Result<String, KvError> {
    let Some(path) = &put.file else { return Ok(put.value.clone().unwrap_or_default()) };
    let failed = |source| KvError::Read { path: path.clone(), source };
    let mut text = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(VALUE_MAX).read_to_end(&mut text),
        false => std::fs::File::open(path).and_then(|file| file.take(VALUE_MAX).read_to_end(&mut text)),
    };
    read.map_err(failed)?;
    String::from_utf8(text)
        .map_err(|_| KvError::File { path: path.clone(), reason: "values are text, in UTF-8".to_owned() })
}

fn lines(path: &Path) -> Result<Vec<Line>, KvError> {
    let text = std::fs::read(path).map_err(|source| KvError::Read { path: path.to_owned(), source })?;
    let file: ImportFile = serde_json::from_slice(&text).map_err(|error| KvError::File {
        path: path.to_owned(),
        reason: format!("{error}\n  an import is {{\"data\": [{{\"key\": \"…\", \"value\": \"…\"}}]}}"),
    })?;
    Ok(file.data)
}

/// Parts that are small enough for one update each.
fn batches(lines: &[Line]) -> Vec<&[Line]> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, line) in lines.iter().enumerate() {
        let size = line.key.len() + line.value.len();
        if at > from && (at - from == BATCH_KEYS || bytes + size > BATCH_BYTES) {
            parts.push(&lines[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < lines.len() {
        parts.push(&lines[from..]);
    }
    parts
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
