//! Choose: which PoP a network is led to.
//!
//! In: PoPs, which of them are well, a point or a network. Out: one of them, the same one each time. Never: a coin tossed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use xxhash_rust::xxh3::xxh3_64;

use crate::config::compiled::{DnsPop, GeoDns};
use crate::geo::{Place, centre};

/// Bits of an address that tell networks apart: finer ones are not told apart by resolvers either (RFC 7871, section 11.1).
const BITS_V4: u8 = 24;
const BITS_V6: u8 = 56;

/// Position of a PoP in the configuration.
pub type PopId = usize;

/// On the globe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
}

/// The PoPs of a zone and the rule between them.
#[derive(Debug, Clone)]
pub struct Pops {
    pub(super) list: Vec<DnsPop>,
    nearest: bool,
}

/// Where a place is; of a country alone, its centre.
pub fn point(place: &Place) -> Option<Point> {
    let exact = place.latitude.zip(place.longitude);
    let (latitude, longitude) = exact.or_else(|| centre::of(place.country.as_deref()?))?;
    Some(Point { latitude, longitude })
}

/// The network of an address and how many bits it has: at most `bits`.
pub fn network(address: IpAddr, bits: u8) -> (IpAddr, u8) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = bits.min(BITS_V4);
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (Ipv4Addr::from_bits(address.to_bits() & mask).into(), bits)
        }
        IpAddr::V6(address) => {
            let bits = bits.min(BITS_V6);
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (Ipv6Addr::from_bits(address.to_bits() & mask).into(), bits)
        }
    }
}

// === impl Point ===
impl Point {
    /// Kilometres by great circle (haversine; a sphere of 6371 km).
    pub fn distance(self, other: Point) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let (north, east) = ((b - a) / 2.0, (other.longitude - self.longitude).to_radians() / 2.0);
        let half = north.sin().powi(2) + a.cos() * b.cos() * east.sin().powi(2);
        2.0 * 6371.0 * half.clamp(0.0, 1.0).sqrt().asin()
    }
}

impl From<&DnsPop> for Point {
    fn from(pop: &DnsPop) -> Self {
        Point { latitude: pop.latitude, longitude: pop.longitude }
    }
}

// === impl Pops ===
impl Pops {
    pub fn new(spec: &GeoDns) -> Self {
        Pops { list: spec.pops.clone(), nearest: spec.nearest }
    }

    pub fn code(&self, id: PopId) -> Option<&str> {
        self.list.get(id).map(|pop| pop.code.as_str())
    }

    /// By the rule, among the PoPs with an address of the kind wanted: those that are well, or all when none is. `None`: no PoP
    /// has such an address. `network` is what the client is told by, `at` where it is, as far as that is known.
    pub fn choose(&self, network: IpAddr, at: Option<Point>, v6: bool, up: &dyn Fn(PopId) -> bool) -> Option<PopId> {
        let every = || (0..self.list.len()).filter(|&id| self.list[id].addresses.iter().any(|a| a.is_ipv6() == v6));
        let well: Vec<PopId> = every().filter(|&id| up(id)).collect();
        let well = if well.is_empty() { every().collect() } else { well };
        match at.filter(|_| self.nearest) {
            Some(at) => self.nearest_of(well, at),
            None => self.by_weight(&well, network),
        }
    }

    /// The nearest that is well.
    pub(super) fn nearest_up(&self, at: Point, up: &dyn Fn(PopId) -> bool) -> Option<PopId> {
        self.nearest_of((0..self.list.len()).filter(|&id| up(id)).collect(), at)
    }

    fn nearest_of(&self, among: Vec<PopId>, at: Point) -> Option<PopId> {
        let far = |id: &PopId| self.list.get(*id).map_or(f64::MAX, |pop| at.distance(pop.into()));
        among.into_iter().min_by(|a, b| far(a).total_cmp(&far(b)))
    }

    /// Rendezvous hashing with weights: a network stays where it is when another PoP comes or goes, and each PoP has its share.
    fn by_weight(&self, among: &[PopId], network: IpAddr) -> Option<PopId> {
        let weigh = |id: &PopId| self.list.get(*id).map_or(0, |pop| pop.weight);
        // Where nobody has a weight, all have the same.
        let flat = among.iter().all(|id| weigh(id) == 0);
        let score = |id: &PopId| {
            let weight = if flat { 1 } else { weigh(id) };
            let mut name = self.code(*id).unwrap_or_default().as_bytes().to_vec();
            name.push(0);
            match network {
                IpAddr::V4(v4) => name.extend(v4.octets()),
                IpAddr::V6(v6) => name.extend(v6.octets()),
            }
            // Between 0 and 1, neither of them.
            let share = ((xxh3_64(&name) >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
            f64::from(weight) / -share.ln()
        };
        among.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))
    }
}
