//! Node: one PoP of a world: disks that outlive its processes, and a process.
//!
//! In: requests of clients, deliveries, kills. Out: what the code of production makes of them. Never: a decision of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tempfile::TempDir;

use super::disk::Disk;
use super::hub::Tail;
use super::keys::{Hash, LackingKeys};
use super::mutant::Mutant;
use crate::cache::horizon::Horizon;
use crate::cache::object::{Meta, Stamp, Stamps};
use crate::cache::purge::{Marks, MarksCell};
use crate::config::compiled::{Per, Period, PeriodQuota, Quota};
use crate::fleet::bus::Topic;
use crate::fleet::counters::Hearing;
use crate::fleet::revision::{Course, Envelope, Known, Placed};
use crate::fleet::{Acted, FleetError, KeyStore, PurgeLog, Purges, Reach, Seen, Seq, Serve};
use crate::hooks::host::kv::KvHandle;
use crate::limit::{Buckets, Ledger, Registry, Scope};

pub const EXCHANGE: Duration = Duration::from_millis(1000);
pub const SILENCE: Duration = Duration::from_millis(2000);
/// API keys that may be made.
const KEYS_MAX: usize = 1000;
/// The store that every node has.
pub const STORE: &str = "s";
/// The rate and the quota that all nodes share.
pub const RATE: Quota = Quota { every: Duration::from_millis(500), burst: NonZeroU32::new(4).unwrap() };
pub const QUOTA: PeriodQuota = PeriodQuota { limit: 60, offset: 0, period: Period::Month, shared: true };
/// Scopes that are marked one by one: so few that some worlds fold them. The log is made smaller past even fewer.
const SCOPES: usize = 24;
const LOG_SCOPES: usize = 3;

/// A stored answer. It stays when the process ends.
#[derive(Debug)]
pub struct Object {
    pub meta: Meta,
    pub checked: AtomicU64,
    /// The moment at which the origin was asked, by the world's clock.
    pub fetched: u64,
}

/// An answer on its way from the origin.
#[derive(Debug)]
pub struct Fill {
    pub url: usize,
    pub stamp: Stamp,
    pub fetched: u64,
}

/// Files of revisions.
#[derive(Debug, Default)]
pub struct Shelf {
    pub course: Option<Vec<u8>>,
    pub envelopes: BTreeMap<u64, Envelope>,
    pub files: BTreeSet<u64>,
}

#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub pop: &'static str,
    /// Milliseconds that its clock is ahead of the world's.
    pub ahead: i64,
    /// Whether it reaches the hub.
    pub link: bool,
    pub full: bool,
    /// How far it took in the bus, as its disk has it.
    pub position: Seq,
    pub purge_disk: Disk,
    pub data_disk: Disk,
    pub key_disk: Disk,
    /// Of what is written to files.
    pub ledger_dir: TempDir,
    pub shelf: Shelf,
    pub stored: BTreeMap<usize, Object>,
    pub process: Option<Process>,
}

#[derive(Debug)]
pub struct Process {
    pub purges: Purges,
    pub marks: MarksCell,
    pub stamps: Stamps,
    pub seen: Seen,
    pub reach: Reach,
    pub data: KvHandle,
    pub horizon: Horizon,
    pub keys: KeyStore,
    /// The keys that are accepted, by name, and whether those of the store could be read.
    pub accepted: BTreeMap<String, Hash>,
    pub keys_read: bool,
    pub lacking_keys: Option<LackingKeys>,
    pub known: Known,
    pub hearing: Hearing,
    pub limits: Registry,
    pub buckets: Arc<Buckets>,
    pub ledger: Ledger,
    pub fills: Vec<Fill>,
    /// By topic, mostly; absent until it begins, and after it ended.
    pub tails: BTreeMap<&'static str, Tail>,
    /// Where the tail of data begins, and what of the usage the bus lacks.
    pub data_from: Seq,
    pub lacking: Option<crate::fleet::counters::Lacking>,
    /// Numbers of revisions that the bus has, up to its head.
    pub there: Option<(Seq, BTreeSet<u64>)>,
    pub began: u64,
    pub heard: Option<u64>,
    pub boot: u64,
    pub sequence: u64,
    pub exchanged: u64,
}

/// What a process is, besides its disks.
pub struct Birth<'a> {
    pub now: u64,
    /// Random numbers: what names a log that is new, and the process.
    pub fresh: u64,
    pub boot: u64,
    pub nodes: &'a [String],
    pub open: &'a dyn Fn(&Envelope) -> Option<crate::fleet::revision::Manifest>,
    pub mutant: Mutant,
}

// === impl Node ===
impl Node {
    pub fn new(name: String, pop: &'static str, ahead: i64) -> Self {
        Node {
            name,
            pop,
            ahead,
            link: true,
            full: false,
            position: Seq(0),
            purge_disk: Disk::default(),
            data_disk: Disk::default(),
            key_disk: Disk::default(),
            ledger_dir: dir(),
            shelf: Shelf::default(),
            stored: BTreeMap::new(),
            process: None,
        }
    }

    /// Milliseconds since the epoch, by its clock.
    pub fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.ahead)
    }

    pub fn fill_disks(&mut self, full: bool) {
        self.full = full;
        self.disks().for_each(|disk| disk.fill(full));
    }

    /// Everything is gone, and with it what was stored.
    pub fn lose_disks(&mut self) {
        (self.purge_disk, self.data_disk, self.key_disk) = Default::default();
        self.ledger_dir = dir();
        self.shelf = Shelf::default();
        self.position = Seq(0);
        self.stored.clear();
    }

    /// Whether a write killed the process.
    pub fn is_killed(&self) -> bool {
        self.disks().any(Disk::is_killed)
    }

    /// Those that may be full, and whose writes may kill the process.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        [&self.purge_disk, &self.data_disk, &self.key_disk].into_iter()
    }

    /// A new process. It fails when its disk does.
    pub fn start(&mut self, birth: &Birth<'_>) -> Result<(), FleetError> {
        self.disks().for_each(Disk::revive);
        if let Some(forgotten) = birth.mutant.forgets() {
            // It may not be there yet.
            let _ = std::fs::remove_file(self.ledger_dir.path().join(forgotten));
        }
        let (marks, stamps, seen) = (MarksCell::new(Marks::new(SCOPES)), Stamps::default(), Seen::default());
        let now = self.clock(birth.now) * 1_000_000;
        let horizon = Horizon::open(&self.ledger_dir.path().join("stamps"), &stamps, now);
        let disk = self.purge_disk.clone();
        let opened = PurgeLog::load(Box::new(move || disk.open()), Path::new("purges"), birth.fresh)?;
        let acted = Acted { marks: &marks, stamps: &stamps, seen: &seen, scopes: LOG_SCOPES, now };
        let purges = Purges::begin(opened, true, acted);
        let disk = self.data_disk.clone();
        let data = KvHandle::telling(STORE, move || disk.open());
        let data = data.map_err(|error| FleetError::Interrupted(error.to_string()))?;
        let disk = self.key_disk.clone();
        let keys =
            KeyStore::load(Box::new(move || disk.open()), self.ledger_dir.path(), KEYS_MAX, Some(Arc::default()));
        keys.list().map_err(|error| FleetError::Interrupted(error.to_string()))?;
        let course: Course =
            self.shelf.course.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        let main = course.running().main;
        let begun = main.revision > 0 && self.shelf.files.contains(&main.revision);
        let manifests = self.shelf.envelopes.iter();
        let manifests = manifests.filter_map(|(n, envelope)| Some((*n, (envelope.clone(), (birth.open)(envelope)?))));
        let known = Known::begin(course, if begun { main } else { Placed::default() }, manifests.collect());
        let limits = Registry::new(1);
        let scope = Scope::Limit { behavior: "b".into(), limit: "l".into(), per: Per::ApiKey };
        let buckets = limits.buckets_of(scope, RATE, 100, true);
        let ledger = Ledger::open(self.ledger_dir.path());
        let ledger = ledger.map_err(|error| FleetError::Interrupted(error.to_string()))?;
        self.stored.values_mut().for_each(|object| object.checked = AtomicU64::new(0));
        self.process = Some(Process {
            purges,
            marks,
            stamps,
            seen,
            reach: Reach::default(),
            data,
            horizon,
            keys,
            accepted: BTreeMap::new(),
            keys_read: true,
            lacking_keys: None,
            known,
            hearing: Hearing::new(self.name.clone(), birth.nodes.iter().cloned(), EXCHANGE, SILENCE),
            limits,
            buckets,
            ledger,
            fills: Vec::new(),
            tails: BTreeMap::new(),
            data_from: Seq(0),
            lacking: None,
            there: None,
            began: birth.now,
            heard: None,
            boot: birth.boot,
            sequence: 0,
            exchanged: birth.now,
        });
        Ok(())
    }
}

// === impl Process ===
impl Process {
    /// What purges act on. `clock`: nanoseconds.
    pub fn acted(&self, clock: u64) -> Acted<'_> {
        Acted { marks: &self.marks, stamps: &self.stamps, seen: &self.seen, scopes: LOG_SCOPES, now: clock }
    }

    pub fn serve(&self, serve: Serve, clock: u64) {
        match serve {
            Serve::Held => self.marks.hold(self.stamps.next(clock)),
            Serve::Released => self.marks.release(),
            Serve::Unchanged => {}
        }
    }

    pub fn end_tail(&mut self, topic: Topic) {
        self.tails.remove(topic.name());
    }
}

/// In memory where there is such a place: what a killed process wrote is there all the same.
fn dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}
