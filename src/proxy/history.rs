//! History: what is known of revisions, for the operator.
//!
//! In: manifests, acknowledgements. Out: both, and what each revision changed. Never: a file's contents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fleet::revision::{Ack, Act, Envelope, Manifest, Past};

/// Acts and nodes.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The newest act; the revision for everybody; the one before it; the canary.
    pub newest: u64,
    pub main: u64,
    pub before: u64,
    pub canary: Option<u64>,
    /// Parts of this node's own files that the revision took the place of.
    pub covered: Vec<String>,
    /// By number.
    pub manifests: BTreeMap<u64, (Envelope, Manifest)>,
    /// By node; `None` = it has said nothing yet.
    pub nodes: BTreeMap<String, Option<Ack>>,
}

/// What a revision has that the one before it had not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

/// What a node said of one act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub pop: String,
    #[serde(flatten)]
    pub past: Past,
}

// === impl History ===
impl History {
    /// By node: what became of the act of this number there. Nodes that have not come to it, or went past it without a word, are left out.
    pub fn told(&self, serial: u64) -> BTreeMap<String, Told> {
        let acks = self.nodes.iter().filter_map(|(node, ack)| Some((node, ack.as_ref()?)));
        let of = |ack: &Ack| match ack.serial == serial {
            true => Some(Past { state: ack.state, why: ack.why.clone(), at_ms: ack.at_ms }),
            false => ack.past.get(&serial).cloned(),
        };
        acks.filter_map(|(node, ack)| Some((node.clone(), Told { pop: ack.pop.clone(), past: of(ack)? }))).collect()
    }

    /// The files of `serial` against those of the deploy or canary before it.
    pub fn diff(&self, serial: u64) -> Diff {
        let brings = |manifest: &&(Envelope, Manifest)| matches!(manifest.1.act, Act::Deploy | Act::Canary { .. });
        let files = |manifest: Option<&(Envelope, Manifest)>| -> BTreeMap<String, String> {
            let files = manifest.into_iter().flat_map(|(_, manifest)| &manifest.files);
            files.map(|file| (file.path.clone(), file.digest.clone())).collect()
        };
        let now = files(self.manifests.get(&serial).filter(brings));
        if now.is_empty() {
            return Diff::default();
        }
        let was = files(self.manifests.range(..serial).map(|(_, one)| one).rfind(brings));
        let mut diff = Diff::default();
        for (path, digest) in &now {
            match was.get(path) {
                None => diff.added.push(path.clone()),
                Some(old) if old != digest => diff.changed.push(path.clone()),
                Some(_) => {}
            }
        }
        diff.removed = was.keys().filter(|path| !now.contains_key(*path)).cloned().collect();
        diff
    }
}
