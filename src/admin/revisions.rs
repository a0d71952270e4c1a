//! Revisions: what all PoPs serve, put there over the admin API.
//!
//! In: files, signed envelopes. Out: their digests and numbers; the history with what became of each. Never: an envelope whose signature was
//! not verified, the contents of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::AdminState;
use super::answer::{Refused, json_only};
use crate::fleet::bus::{BusError, Digest};
use crate::fleet::revision::{Ack, Act, ManifestError};
use crate::proxy::history::Told;
use crate::proxy::revising::{Revising, RevisingError};

/// Answer of `POST /revisions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub serial: u64,
}

/// Answer of `PUT /blobs/DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub digest: String,
}

/// Answer of `GET /revisions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revisions {
    /// The newest number; the next one has to be larger.
    pub newest: u64,
    /// The revision that everybody gets; 0 = each node's own files alone.
    pub serves: u64,
    /// The one before it.
    pub before: u64,
    /// The one that some viewers get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<u64>,
    /// By name; `null` = it has said nothing yet.
    pub nodes: BTreeMap<String, Option<Ack>>,
    /// Parts of the own files of the node that was asked, which the revision took the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covered: Vec<String>,
    /// Newest first.
    pub revisions: Vec<Revision>,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    pub serial: u64,
    pub act: Act,
    pub author: String,
    /// The public key that signed it.
    pub key: String,
    pub note: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Names its configuration.
    pub digest: String,
    pub files: Vec<File>,
    /// Against the deploy or canary before it.
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// By node: what became of it there.
    #[serde(default)]
    pub nodes: BTreeMap<String, Told>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub digest: String,
    pub size: u64,
}

/// `GET /revisions`.
pub async fn list(State(state): State<AdminState>) -> Result<Json<Revisions>, Refused> {
    let history = desk(&state)?.history();
    let each = history.manifests.iter().rev().map(|(serial, (envelope, manifest))| {
        let diff = history.diff(*serial);
        let files = manifest.files.iter();
        Revision {
            serial: *serial,
            act: manifest.act.clone(),
            author: manifest.author.clone(),
            key: envelope.key().to_owned(),
            note: manifest.note.clone(),
            created_ms: manifest.created_ms,
            digest: manifest.digest.clone(),
            files: files
                .map(|file| File { path: file.path.clone(), digest: file.digest.clone(), size: file.size })
                .collect(),
            added: diff.added,
            changed: diff.changed,
            removed: diff.removed,
            nodes: history.told(*serial),
        }
    });
    Ok(Json(Revisions {
        newest: history.newest,
        serves: history.main,
        before: history.before,
        canary: history.canary,
        covered: history.covered.clone(),
        revisions: each.collect(),
        nodes: history.nodes,
    }))
}

/// `POST /revisions`: a signed envelope.
pub async fn publish(
    State(state): State<AdminState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, Refused> {
    let desk = desk(&state)?;
    let body = body.map_err(|_| too_large())?;
    json_only(&headers)?;
    let serial = desk.accept(&body).await?;
    log::info!("revision {serial} is accepted");
    Ok(Json(Accepted { serial }))
}

/// `PUT /blobs/DIGEST`.
pub async fn put_blob(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Stored>, Refused> {
    let desk = desk(&state)?;
    let wanted = digest(&name)?;
    let body = body.map_err(|_| too_large())?;
    let found = Digest::of(&body);
    if found != wanted {
        let hint = "the name of a file is the SHA-256 of its contents, in hex";
        return Err(Refused::new(StatusCode::BAD_REQUEST, format!("the contents have the digest {found}"), hint));
    }
    let stored = desk.take_blob(body).await?;
    Ok(Json(Stored { digest: stored.to_string() }))
}

/// `HEAD /blobs/DIGEST`: 204 when a known revision has it.
pub async fn has_blob(State(state): State<AdminState>, Path(name): Path<String>) -> Result<StatusCode, Refused> {
    match desk(&state)?.has_blob(digest(&name)?) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refused::new(StatusCode::NOT_FOUND, "no revision has this file", "PUT it")),
    }
}

fn desk(state: &AdminState) -> Result<&Arc<Revising>, Refused> {
    state.revisions.as_ref().ok_or_else(|| RevisingError::Off.into())
}

fn digest(name: &str) -> Result<Digest, Refused> {
    let wrong = || Refused::new(StatusCode::BAD_REQUEST, format!("{name:?} is no digest"), "SHA-256 as 64 hex digits");
    Digest::parse(name).ok_or_else(wrong)
}

fn too_large() -> Refused {
    let hint = "`fleet.revision_size` says how large a revision may be";
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut off", hint)
}

impl From<RevisingError> for Refused {
    fn from(error: RevisingError) -> Self {
        let (status, hint) = match &error {
            RevisingError::Off => (
                StatusCode::CONFLICT,
                "`rimward deploy --new-key PATH` makes a key and says what to write into [fleet] trust; restart the PoP then",
            ),
            RevisingError::Starting => (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment"),
            RevisingError::Manifest(ManifestError::Replayed { .. }) => {
                (StatusCode::CONFLICT, "sign a new manifest: a number is used once")
            }
            RevisingError::Manifest(_) => (StatusCode::FORBIDDEN, "only what a key of `fleet.trust` signed is taken"),
            RevisingError::Senseless(_) => (StatusCode::CONFLICT, "`rimward revisions` shows what there is"),
            RevisingError::File { .. } | RevisingError::Bus(BusError::NoBlob(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "PUT every file to /blobs/DIGEST first")
            }
            RevisingError::Bus(BusError::Refused(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "`fleet.revision_size` says how large a file may be")
            }
            RevisingError::Bus(BusError::Away(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "nothing was published as far as is known; try again in a moment")
            }
            RevisingError::Shelf(_) | RevisingError::Bus(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, "nothing was published; see the PoP's log, then try again")
            }
        };
        Refused::new(status, error.to_string(), hint)
    }
}
