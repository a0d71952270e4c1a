//! State: what `/status` and `/config` tell.
//!
//! In: the running configuration, numbers of the rooms. Out: JSON that both this API and `rimward status` agree on.
//! Never: header values, tokens, keys.

use super::Facts;
use crate::config::compiled::{Action, Config, OriginKind, Upstream};
use crate::observe::Numbers;
use serde::{Deserialize, Serialize};

/// Purges remembered for `/status`.
pub const RECENT: usize = 20;

/// Answer of `GET /status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pop: String,
    /// Names the configuration that runs.
    pub digest: String,
    /// The revision that viewers get; left out: its own files alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// Parts of its own files that the revision took the place of, one line each with its place: they may be deleted there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub covered: Vec<String>,
    pub uptime_s: u64,
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_ready: Option<String>,
    pub connections: u64,
    /// Left out without `fleet.bus`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fleet: Option<FleetState>,
    pub cache: CacheState,
    pub origins: Vec<OriginState>,
    /// Newest first, since start.
    pub purges: Vec<RecentPurge>,
    pub last_reload: Option<LastReload>,
}

/// How this node is with the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetState {
    /// The bus answers. While it does not, what is accepted here counts here, and waits on disk for the others.
    pub connected: bool,
    /// Nodes known, this one among them.
    pub nodes: u64,
    /// The newest purge of the bus that counts here.
    pub purge_position: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheState {
    pub memory_bytes: u64,
    pub memory_objects: u64,
    /// `cache.memory` in force, in bytes: another one in the file takes a restart.
    pub memory_limit: u64,
    pub disk_bytes: u64,
    pub disk_objects: u64,
    /// `cache.disk.size` in force, in bytes; 0 = no disk tier.
    pub disk_limit: u64,
    pub fills_in_flight: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginState {
    pub name: String,
    /// Empty for an in-process origin.
    pub targets: Vec<TargetState>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetState {
    pub target: String,
    pub up: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentPurge {
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// url, prefix, host, tag or all.
    pub scope: String,
    pub what: String,
    pub soft: bool,
}

/// How the last attempt to read the configuration again ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Why the old configuration was kept; `None` = the new one runs.
    pub error: Option<String>,
}

/// Answer of `GET /config`: the shape of what runs, without values that may be secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigState {
    pub digest: String,
    pub pop: String,
    pub sources: Vec<String>,
    pub listen: Vec<String>,
    pub origins: Vec<String>,
    pub behaviors: Vec<BehaviorState>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BehaviorState {
    pub name: String,
    #[serde(rename = "match")]
    pub pattern: String,
    /// Origin, origin group, or `redirect`.
    pub to: String,
    pub cache: bool,
}

// === impl Status ===
impl Status {
    pub fn of(config: &Config, facts: &Facts, now: &Numbers, purges: Vec<RecentPurge>, now_ms: u64) -> Self {
        let origins = config.origins.iter().map(|origin| {
            let targets = now.targets.iter().filter(|target| target.origin == origin.name);
            OriginState {
                name: origin.name.clone(),
                targets: targets.map(|t| TargetState { target: t.target.clone(), up: t.up }).collect(),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pop: config.pop.code.clone(),
            digest: config.digest.clone(),
            revision: facts.revision,
            covered: config.covered.clone(),
            uptime_s: now_ms.saturating_sub(facts.started_ms) / 1000,
            ready: facts.not_ready.is_none(),
            not_ready: facts.not_ready.clone(),
            connections: now.connections,
            fleet: now.fleet.map(|fleet| FleetState {
                connected: fleet.connected,
                nodes: fleet.nodes,
                purge_position: fleet.purge_position,
            }),
            cache: CacheState {
                memory_bytes: now.memory_bytes,
                memory_objects: now.memory_objects,
                memory_limit: config.store.memory,
                disk_bytes: now.disk_bytes,
                disk_objects: now.disk_objects,
                disk_limit: config.store.disk.as_ref().map_or(0, |disk| disk.size),
                fills_in_flight: now.fills_in_flight,
            },
            origins: origins.collect(),
            purges,
            last_reload: facts.last_reload.clone(),
        }
    }
}

// === impl ConfigState ===
impl ConfigState {
    pub fn of(config: &Config) -> Self {
        let origin = |id: usize| config.origins.get(id).map_or("?", |origin| &origin.name).to_owned();
        let behaviors = config.behaviors.iter().map(|behavior| BehaviorState {
            name: behavior.name.clone(),
            pattern: behavior.pattern.text.clone(),
            to: match &behavior.action {
                Action::Forward(Upstream::Origin(id)) => origin(*id),
                Action::Forward(Upstream::Group(id)) => {
                    config.groups.get(*id).map_or("?", |group| &group.name).to_owned()
                }
                Action::Redirect(_) => "redirect".to_owned(),
            },
            cache: behavior.cache.enabled,
        });
        let origins = config.origins.iter().map(|origin| match &origin.kind {
            OriginKind::Http(http) => {
                let targets: Vec<_> =
                    http.targets.iter().map(|target| format!("{}:{}", target.host, target.port)).collect();
                format!("{}: {}", origin.name, targets.join(", "))
            }
            OriginKind::Signed(signed) => format!("{}: {} (signed)", origin.name, signed.base),
            OriginKind::Lambda(lambda) => format!("{}: lambda {}", origin.name, lambda.function),
            OriginKind::Table(table) => {
                let actions: Vec<_> = table.operations.iter().map(|one| one.mapping.action.as_str()).collect();
                format!("{}: dynamodb {}", origin.name, actions.join(", "))
            }
            OriginKind::Function(_) => format!("{}: function", origin.name),
            OriginKind::Generated(_) => format!("{}: generated", origin.name),
        });
        ConfigState {
            digest: config.digest.clone(),
            pop: config.pop.code.clone(),
            sources: config.sources.iter().map(|path| path.display().to_string()).collect(),
            listen: config.listeners.iter().map(|listener| listener.address.to_string()).collect(),
            origins: origins.collect(),
            behaviors: behaviors.collect(),
        }
    }
}
