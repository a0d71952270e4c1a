//! Hint: a nearer PoP than the one a viewer came to.
//!
//! In: where the viewer is, which PoPs are well. Out: the value of an `Alt-Svc` field (RFC 7838), or nothing to say. Never: a
//! redirect.

use http::HeaderValue;

use super::choose::{Point, PopId, Pops};
use crate::config::compiled::GeoDns;

/// Kilometres by which another PoP must be nearer: below it the way matters more than the distance.
const NEARER_BY: f64 = 200.0;

/// What one PoP tells its viewers.
#[derive(Debug)]
pub struct Hints {
    pops: Pops,
    /// This one's place, where the zone has it.
    own: Option<(PopId, Point)>,
    values: Vec<Option<HeaderValue>>,
}

// === impl Hints ===
impl Hints {
    /// `code` is this PoP's.
    pub fn new(spec: &GeoDns, code: &str) -> Self {
        let value = |code: &str| {
            let zone = spec.zone.to_ascii();
            let host = format!("{}.{}", code.to_ascii_lowercase(), zone.trim_end_matches('.'));
            let (port, age) = (spec.hint.port, spec.hint.max_age.as_secs().max(1));
            HeaderValue::try_from(format!("{}=\"{host}:{port}\"; ma={age}", spec.hint.protocol)).ok()
        };
        Hints {
            pops: Pops::new(spec),
            own: spec.pops.iter().position(|pop| pop.code == code).and_then(|id| Some((id, spec.pops.get(id)?.into()))),
            values: spec.pops.iter().map(|pop| value(&pop.code)).collect(),
        }
    }

    /// What a viewer at `at` is told. Nothing when this PoP is (nearly) the nearest.
    pub fn for_viewer(&self, at: Point, up: &dyn Fn(PopId) -> bool) -> Option<&HeaderValue> {
        let (own, here) = self.own?;
        let nearest = self.pops.nearest_up(at, up).filter(|&id| id != own)?;
        let there: Point = self.pops.list.get(nearest)?.into();
        (at.distance(there) + NEARER_BY < at.distance(here)).then_some(())?;
        self.values.get(nearest)?.as_ref()
    }
}
