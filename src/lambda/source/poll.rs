//! Poll: one mapping's stream: its shards, each with a task of its own, and how far they have come.
//!
//! In: a mapping, tables. Out: tasks that read and call; progress on disk. Never: two tasks on one shard.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::{Mapping, Place, Progress, Source, Status, shards};
use crate::dynamo::{Caller, Dynamo, Fault, Shard};
use crate::lambda::{Inner, now_ms};

/// How often the stream is asked for new shards; after an error.
const AGAIN: Duration = Duration::from_secs(10);
pub(super) const TROUBLE: Duration = Duration::from_secs(1);
/// Shards of one stream that are known at once.
const SHARDS_MAX: usize = 1000;

/// What runs for one mapping.
#[derive(Debug)]
pub(super) struct Poller {
    pub inner: Weak<Inner>,
    pub tables: Dynamo,
    pub mapping: Arc<Mapping>,
    pub status: Arc<Status>,
    pub stop: watch::Receiver<bool>,
    pub progress: Mutex<Progress>,
}

/// Where to begin to read a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// An iterator that was got already.
    pub iterator: Option<String>,
    /// Records written before this were there before the mapping.
    pub since_ms: u64,
}

// === impl Poller ===
impl Poller {
    /// Runs until it is stopped, or everything is gone.
    pub(super) async fn run(self: Arc<Self>) {
        let mut fresh = match self.load().await {
            Some(fresh) => fresh,
            None => return,
        };
        let mut tasks: JoinSet<String> = JoinSet::new();
        let mut active = HashSet::new();
        while !self.stopped() {
            let mut wait = AGAIN;
            match self.begin(&mut tasks, &mut active, fresh).await {
                Ok(()) => {
                    fresh = false;
                    self.status.lock().started = true;
                }
                Err(fault) => {
                    self.problem(&fault);
                    wait = TROUBLE;
                }
            }
            tokio::select! {
                stopped = self.pause(wait) => if stopped { break },
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                    Ok(shard) => drop(active.remove(&shard)),
                    // Which one is not said: all that do not run begin again with the next round of shards.
                    Err(error) => {
                        log::error!(target: "lambda", "the mapping {} lost a task: {error}", self.mapping.uuid);
                        tasks.abort_all();
                        while tasks.join_next().await.is_some() {}
                        active.clear();
                    }
                },
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Reads how far the mapping has come. Whether it begins now; `None`: it must not run.
    async fn load(&self) -> Option<bool> {
        let store = Arc::clone(&self.inner.upgrade()?.store);
        loop {
            let (store, uuid) = (Arc::clone(&store), self.mapping.uuid.clone());
            let read = tokio::task::spawn_blocking(move || store.progress(&uuid)).await;
            match read {
                Ok(Ok(found)) => {
                    let fresh = found.is_none();
                    *self.progress.lock().await =
                        found.unwrap_or_else(|| Progress { since_ms: now_ms(), ..Progress::default() });
                    return Some(fresh);
                }
                Ok(Err(error)) => log::error!(target: "lambda", "{}: {error}", self.mapping.uuid),
                Err(_) => return None,
            }
            if self.pause(TROUBLE).await {
                return None;
            }
        }
    }

    /// Starts a task for each shard that can be read. `fresh`: nothing of the stream was read before.
    async fn begin(
        self: &Arc<Self>,
        tasks: &mut JoinSet<String>,
        active: &mut HashSet<String>,
        fresh: bool,
    ) -> Result<(), Fault> {
        let (stream, shards) = self.stream().await?;
        let mut latest = Vec::new();
        if fresh {
            if self.mapping.latest {
                for shard in shards.iter().filter(|shard| !shard.closed) {
                    latest.push((shard.id.clone(), self.iterator(&stream, &shard.id, "LATEST", None).await?));
                }
                let mut progress = self.progress.lock().await;
                let closed = shards.iter().filter(|shard| shard.closed);
                progress.shards.extend(closed.map(|shard| (shard.id.clone(), Place::End)));
            }
            // From here on, what is written is called with, whatever happens.
            self.save(|_| {}).await;
        }
        self.status.lock().stream = Some(stream.clone());
        let (progress, changed) = {
            let mut progress = self.progress.lock().await;
            let (before, known) = (progress.shards.len(), progress.stream.as_ref() == Some(&stream));
            progress.stream = Some(stream.clone());
            shards::prune(&mut progress, &shards);
            (progress.clone(), !known || progress.shards.len() != before)
        };
        if changed {
            self.save(|_| {}).await;
        }
        let ready: Vec<Shard> = shards::ready(&shards, &progress, active).cloned().collect();
        for shard in ready {
            let iterator = latest.iter().find(|(id, _)| *id == shard.id).map(|(_, iterator)| iterator.clone());
            let parent = shard.parent.as_ref().is_some_and(|parent| progress.shards.contains_key(parent));
            let since = self.mapping.latest && !parent && iterator.is_none();
            let start = Start { iterator, since_ms: if since { progress.since_ms } else { 0 } };
            let place = progress.shards.get(&shard.id).cloned();
            active.insert(shard.id.clone());
            let (this, stream) = (Arc::clone(self), stream.clone());
            tasks.spawn(async move {
                this.follow(&stream, &shard.id, start, place).await;
                shard.id
            });
        }
        Ok(())
    }

    /// The ARN of the stream to read, and its shards. One that was turned off is read to its end, also where there is another since.
    async fn stream(&self) -> Result<(String, Vec<Shard>), Fault> {
        let table = match &self.mapping.source {
            Source::Stream(arn) => return Ok((arn.clone(), self.shards(arn).await?)),
            Source::Table(table) => table,
        };
        let progress = self.progress.lock().await.clone();
        let described = self.ask("DescribeTable", json!({ "TableName": table })).await?;
        let latest = described.pointer("/Table/LatestStreamArn").and_then(Value::as_str);
        if let Some(before) = progress.stream.as_deref().filter(|before| Some(*before) != latest) {
            match self.shards(before).await {
                Ok(shards) if !shards::read(&shards, &progress) => return Ok((before.to_owned(), shards)),
                Ok(_) => {}
                // It is gone a day after its end.
                Err(fault) if fault.name() == "ResourceNotFoundException" => {}
                Err(fault) => return Err(fault),
            }
            if let Some(next) = self.after(table, before).await?.filter(|next| Some(next.as_str()) != latest) {
                let shards = self.shards(&next).await?;
                return Ok((next, shards));
            }
        }
        let on = described.pointer("/Table/StreamSpecification/StreamEnabled") == Some(&Value::Bool(true));
        if let Some(latest) = latest {
            let shards = self.shards(latest).await?;
            if on || !shards::read(&shards, &progress) {
                return Ok((latest.to_owned(), shards));
            }
        }
        let words = format!("The table {table} has no stream: turn one on");
        Err(Fault::service("ResourceNotFoundException", words))
    }

    /// The stream that the table had next: its label is the time at which it was turned on.
    async fn after(&self, table: &str, before: &str) -> Result<Option<String>, Fault> {
        let (mut next, mut from): (Option<String>, Option<Value>) = (None, None);
        loop {
            let mut request = json!({ "TableName": table });
            if let Some(from) = from.take() {
                request["ExclusiveStartStreamArn"] = from;
            }
            let answer = self.ask("ListStreams", request).await?;
            let listed = answer.get("Streams").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for arn in listed.iter().filter_map(|stream| stream.get("StreamArn").and_then(Value::as_str)) {
                // They differ in nothing else.
                if arn > before && next.as_deref().is_none_or(|next| arn < next) {
                    next = Some(arn.to_owned());
                }
            }
            match answer.get("LastEvaluatedStreamArn") {
                Some(last @ Value::String(_)) => from = Some(last.clone()),
                _ => return Ok(next),
            }
        }
    }

    async fn shards(&self, stream: &str) -> Result<Vec<Shard>, Fault> {
        let (mut shards, mut after) = (Vec::new(), None);
        loop {
            let mut request = json!({ "StreamArn": stream });
            if let (Some(after), Some(request)) = (after.take(), request.as_object_mut()) {
                request.insert("ExclusiveStartShardId".to_owned(), after);
            }
            let mut answer = self.ask("DescribeStream", request).await?;
            let description = answer.get_mut("StreamDescription").map(Value::take).unwrap_or_default();
            let listed = description.get("Shards").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            shards.extend(listed.iter().filter_map(Shard::read));
            match description.get("LastEvaluatedShardId") {
                Some(last @ Value::String(_)) if shards.len() < SHARDS_MAX => after = Some(last.clone()),
                _ => return Ok(shards),
            }
        }
    }

    /// An iterator of a shard; `at` for those kinds that have a place.
    pub(super) async fn iterator(
        &self,
        stream: &str,
        shard: &str,
        kind: &str,
        at: Option<&str>,
    ) -> Result<String, Fault> {
        let mut request = json!({ "StreamArn": stream, "ShardId": shard, "ShardIteratorType": kind });
        if let (Some(at), Some(request)) = (at, request.as_object_mut()) {
            request.insert("SequenceNumber".to_owned(), json!(at));
        }
        let answer = self.ask("GetShardIterator", request).await?;
        answer.get("ShardIterator").and_then(Value::as_str).map(str::to_owned).ok_or_else(Fault::internal)
    }

    /// Asks the tables, as somebody to whom nothing is refused.
    pub(super) async fn ask(&self, operation: &str, request: Value) -> Result<Value, Fault> {
        let answer = self.tables.call(&Caller::inside(), operation, request).await?;
        serde_json::from_slice(&answer.body).map_err(|_| Fault::internal())
    }

    /// Changes the progress, in memory and then on disk. Where the disk fails, records are called with again after a restart.
    pub(super) async fn save(&self, change: impl FnOnce(&mut Progress)) {
        let Some(inner) = self.inner.upgrade() else { return };
        // One that was removed leaves nothing behind.
        if !self.mapping.configured && inner.sources.get(&self.mapping.uuid).is_none() {
            return;
        }
        // Held while it is written: a later place must not be overwritten by an earlier one.
        let mut progress = self.progress.lock().await;
        change(&mut progress);
        let (store, uuid, copy) = (Arc::clone(&inner.store), self.mapping.uuid.clone(), progress.clone());
        let written = tokio::task::spawn_blocking(move || store.set_progress(&uuid, &copy)).await;
        if let Ok(Err(error)) = written {
            log::error!(target: "lambda", "the place of mapping {} cannot be kept: {error}", self.mapping.uuid);
        }
    }

    pub(super) fn problem(&self, fault: &Fault) {
        let words = fault.message.clone().unwrap_or_else(|| fault.name().to_owned());
        self.said(format!("PROBLEM: {words}"));
    }

    /// What came of the last try; a new problem is worth a line.
    pub(super) fn said(&self, result: String) {
        let mut seen = self.status.lock();
        if seen.result != result {
            if result.starts_with("PROBLEM") {
                log::warn!(target: "lambda", "{}: records of {:?}: {result}", self.mapping.function, self.mapping.source);
            }
            seen.result = result;
        }
    }

    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Waits; whether it was stopped.
    pub(super) async fn pause(&self, span: Duration) -> bool {
        let mut stop = self.stop.clone();
        tokio::select! {
            // Nobody left who could stop it is the end too.
            _ = stop.wait_for(|stopped| *stopped) => true,
            () = tokio::time::sleep(span) => false,
        }
    }
}
