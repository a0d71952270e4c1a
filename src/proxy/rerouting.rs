//! Rerouting: where a function sends a request.
//!
//! In: the change it made, the configuration. Out: an origin, a group, or an origin described by its differences. Never: a peer.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::config::compiled::{Config, OriginGroup, OriginId};
use crate::config::secret::Secret;
use crate::hooks::{OriginChange, OriginPatch};
use crate::origin::reroute::Reroute;

/// Another way than the behavior's.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// The configured origin it starts from; `None` = the one in force.
    pub base: Option<OriginId>,
    pub group: Option<Arc<OriginGroup>>,
    /// Of the group's members, in the same order.
    members: Vec<Own>,
    /// What differs of the origin in force.
    pub own: Own,
}

/// What differs of one origin.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// What differs from the configured origin, when anything does that changes the connection.
    pub reroute: Option<Reroute>,
    /// Instead of the origin's own: put before the path.
    pub path: Option<String>,
    /// Instead of the origin's own: added to the request.
    pub headers: Option<Vec<(HeaderName, Secret<HeaderValue>)>>,
}

// === impl Way ===
impl Way {
    /// This way with the differences of `next`; an origin or group that `next` names begins anew.
    pub fn then(self, next: Way) -> Way {
        if next.base.is_some() || next.group.is_some() {
            return next;
        }
        Way { own: self.own.then(next.own), ..self }
    }

    /// The differences from here on are those of this member: what was said of the one that failed was said of it alone.
    pub fn move_on(&mut self, to: OriginId) {
        let place = self.group.as_ref().and_then(|group| group.members.iter().position(|member| *member == to));
        self.own = place.and_then(|place| self.members.get(place)).cloned().unwrap_or_default();
    }
}

// === impl Own ===
impl Own {
    fn then(self, next: Own) -> Own {
        Own {
            reroute: match (self.reroute, next.reroute) {
                (Some(before), Some(after)) => Some(before.then(after)),
                (before, after) => after.or(before),
            },
            path: next.path.or(self.path),
            headers: next.headers.or(self.headers),
        }
    }

    fn of(patch: &OriginPatch) -> Own {
        let headers = patch
            .headers
            .as_ref()
            .map(|headers| headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect());
        Own { reroute: differences(patch), path: patch.path.clone(), headers }
    }
}

/// The way that `change` describes. Names in it were checked when the edit was made; one that a reload removed is refused.
pub fn way(change: &OriginChange, config: &Config) -> Option<Way> {
    match change {
        OriginChange::Group { members, failover } => {
            let own: Vec<Own> = members.iter().map(Own::of).collect();
            let members =
                members.iter().map(|member| origin(config, member.base.as_deref()?)).collect::<Option<Vec<_>>>()?;
            let group = OriginGroup { name: "made by a function".to_owned(), members, failover: failover.clone() };
            Some(Way {
                base: group.members.first().copied(),
                group: Some(Arc::new(group)),
                own: own.first().cloned().unwrap_or_default(),
                members: own,
            })
        }
        OriginChange::To(patch) => {
            let (base, group) = match &patch.base {
                None => (None, None),
                Some(name) => match origin(config, name) {
                    Some(id) => (Some(id), None),
                    None => {
                        let group = config.groups.iter().find(|group| group.name == *name)?;
                        (group.members.first().copied(), Some(Arc::new(group.clone())))
                    }
                },
            };
            Some(Way { base, group, members: Vec::new(), own: Own::of(patch) })
        }
    }
}

fn origin(config: &Config, name: &str) -> Option<OriginId> {
    config.origins.iter().position(|origin| origin.name == name)
}

/// What changes the connection; `base` is filled in when the origin in force is known.
fn differences(patch: &OriginPatch) -> Option<Reroute> {
    let reroute = Reroute {
        base: String::new(),
        host: patch.host.as_ref().map(|host| host.to_ascii_lowercase()),
        port: patch.port,
        tls: patch.tls,
        host_header: patch.host_header.as_ref().and_then(|host| HeaderValue::from_str(host).ok()),
        sni: patch.sni.clone(),
        connect_timeout: patch.connect_timeout,
        read_timeout: patch.read_timeout,
        attempts: patch.attempts,
        signing: patch.signing(),
    };
    (reroute != Reroute::default()).then_some(reroute)
}
