//! Work: what a thread of the embedded engine does for one call.
//!
//! In: a call. Out: its reply. Never: the queue it waited in, the names that ARNs have outside.

use std::sync::Arc;
use std::time::Duration;

use dynoxide::Database;

use super::super::fault::Fault;
use super::super::op::Op;
use super::super::request::{Request, text};
use super::direct::Direct;
use super::expiry::Expiry;
use super::replicas::Replicas;
use super::sidecar::Sidecar;
use super::streams::{self, Streams};
use super::tokens::{self, Tokens};
use super::{Call, Reply, Swept, correct};

/// Whose rules global tables follow (developer guide, "Global tables versions").
const GLOBAL_VERSION: &str = "2019.11.21";

/// What a thread needs for one call.
pub struct Work {
    pub db: Database,
    pub direct: Arc<Direct>,
    pub sidecar: Arc<Sidecar>,
    pub tokens: Arc<Tokens>,
    pub expiry: Arc<Expiry>,
    pub replicas: Option<Arc<Replicas>>,
    pub region: String,
    pub now: Duration,
}

// === impl Work ===
impl Work {
    /// Does a call. Blocks, and wants a deep stack.
    ///
    /// # Errors
    /// What AWS would say.
    pub fn done(&self, mut call: Call) -> Result<Reply, Fault> {
        if let Some(reply) = self.direct.read(&call) {
            return Ok(reply);
        }
        let op = call.op;
        match op {
            Op::ListStreams | Op::DescribeStream | Op::GetShardIterator | Op::GetRecords => {
                let (db, sidecar) = (&self.db, self.sidecar.as_ref());
                return Streams { db, sidecar, region: &self.region, now: self.now }.call(op, &call.request);
            }
            Op::CreateTable | Op::UpdateTable => {
                let _turn = self.direct.turn();
                let _changed = Changed(&self.direct);
                let view = streams::wanted(&mut call.request);
                let name = text(&call.request, "TableName").unwrap_or_default().to_owned();
                let reply = correct::call(&self.db, call)?;
                if let Some(view) = view {
                    self.sidecar.set_view(&name, &view).map_err(|error| failed("the view of a stream", &error))?;
                }
                return self.described(reply, &name);
            }
            Op::DescribeTable | Op::DeleteTable => {
                let name = text(&call.request, "TableName").unwrap_or_default().to_owned();
                if op == Op::DeleteTable && self.global(&name) {
                    return Err(Fault::validation(format!(
                        "Table {name} is a global table: it is deleted once the configuration no longer says so"
                    )));
                }
                let _turn = (op == Op::DeleteTable).then(|| (Changed(&self.direct), self.direct.turn()));
                return self.described(correct::call(&self.db, call)?, &name);
            }
            _ => {}
        }
        if call.metered && op.metered() {
            call.request.insert("ReturnConsumedCapacity".to_owned(), serde_json::Value::from("INDEXES"));
        }
        let lesson = self.direct.study(&self.db, &call);
        let _writing = self.replicas.as_ref().filter(|_| !op.reads()).map(|replicas| replicas.writing());
        let _turn = (!op.reads()).then(|| self.direct.turn());
        if self.tokens.has(&call) {
            return self.tokens.call(&self.db, self.direct.generation(), self.now, call);
        }
        let reply = correct::call(&self.db, call)?;
        lesson.into_iter().for_each(|lesson| self.direct.learn(lesson));
        Ok(reply)
    }

    fn global(&self, table: &str) -> bool {
        self.replicas.as_ref().is_some_and(|replicas| replicas.has(table))
    }

    /// What a table is, as AWS says it.
    fn described(&self, reply: Reply, table: &str) -> Result<Reply, Fault> {
        let reply = streams::described(reply, &self.sidecar)?;
        if !self.global(table) {
            return Ok(reply);
        }
        let mut body: Request = serde_json::from_slice(&reply.body).map_err(|_| Fault::internal())?;
        for description in body.values_mut().filter_map(serde_json::Value::as_object_mut) {
            description.insert("GlobalTableVersion".to_owned(), serde_json::Value::from(GLOBAL_VERSION));
        }
        let body = serde_json::to_vec(&body).map_err(|_| Fault::internal())?;
        Ok(Reply { body, ..reply })
    }

    /// Deletes what has expired: items, stream records and ended streams, tokens of transactions.
    ///
    /// # Errors
    /// The database's.
    pub fn sweep(&self) -> Result<Swept, Fault> {
        let schema = |table: &str| self.db.get_table_metadata(table).ok().flatten().map(|found| found.key_schema);
        let swept = self.expiry.sweep(&self.sidecar, &self.direct, self.now, schema)?;
        let cutoff = self.now.saturating_sub(streams::KEPT).as_secs();
        // What was deleted is to be told, whatever becomes of the rest: it is tried again at the next sweep.
        let said = |what: &str, done: rusqlite::Result<()>| {
            if let Err(error) = done {
                failed(what, &error);
            }
        };
        said("old stream records", self.sidecar.trim(cutoff).map(drop));
        said("streams that ended", self.sidecar.forget_ended(cutoff).map(drop));
        let tokens = u64::try_from(self.now.saturating_sub(tokens::KEPT).as_millis()).unwrap_or(u64::MAX);
        said("tokens of transactions", self.sidecar.forget_tokens(tokens).map(drop));
        Ok(swept)
    }
}

/// Tells that tables have changed, while it is still the teller's turn to write.
struct Changed<'a>(&'a Direct);

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.0.changed();
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Fault {
    log::error!("dynamodb: {what}: {error}");
    Fault::internal()
}
