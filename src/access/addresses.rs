//! Addresses: whether an address is in a list of networks.
//!
//! In: networks, an address. Out: yes or no. Never: which network it was, a name, an allocation in a look-up.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks as ranges that neither touch nor overlap: a look-up is one binary search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// First and last address, sorted.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// `::ffff:0:0/96`: IPv4 addresses as a dual-stack socket shows them (RFC 4291 §2.5.5.2).
const MAPPED: u128 = 0xffff_0000_0000;
const MAPPED_BITS: u8 = 96;

// === impl Set ===
impl Set {
    /// In any order, overlapping or not. IPv4 networks in IPv6's clothes are networks of IPv4.
    pub fn new<'n>(nets: impl IntoIterator<Item = &'n IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => {
                    let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                    if net.prefix_len() >= MAPPED_BITS && first >> 32 == MAPPED >> 32 {
                        v4.push((first as u32, last as u32));
                        continue;
                    }
                    if first <= MAPPED && MAPPED <= last {
                        // A wider network: every mapped address is in it.
                        v4.push((0, u32::MAX));
                    }
                    v6.push((first, last));
                }
            }
        }
        Set { v4: disjoint(v4, |last| last.checked_add(1)), v6: disjoint(v6, |last| last.checked_add(1)) }
    }

    /// Whether one of the networks has `address`; `::ffff:192.0.2.1` is 192.0.2.1.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => within(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => within(&self.v6, v6.to_bits()),
        }
    }

    /// Bytes that the ranges take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.v4) + size_of_val(&*self.v6)
    }
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|&(_, last)| address <= last)
}

/// Sorted, and joined where they touch.
fn disjoint<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if next(before.1).is_none_or(|next| first <= next) => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(nets: &[&str]) -> Set {
        Set::new(&nets.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>())
    }

    #[test]
    fn addresses() {
        for (nets, address, want) in [
            (&[][..], "192.0.2.1", false),
            (&["192.0.2.0/24"], "192.0.2.0", true),
            (&["192.0.2.0/24"], "192.0.2.255", true),
            (&["192.0.2.0/24"], "192.0.3.0", false),
            (&["192.0.2.0/24"], "192.0.1.255", false),
            (&["192.0.2.0/24"], "::ffff:192.0.2.1", true),
            (&["::ffff:192.0.2.0/120"], "192.0.2.1", true),
            (&["::ffff:192.0.2.0/120"], "192.0.3.1", false),
            (&["::/0"], "192.0.2.1", true),
            (&["2000::/3"], "192.0.2.1", false),
            (&["0.0.0.0/0"], "255.255.255.255", true),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["10.0.0.0/8", "10.1.0.0/16", "9.0.0.0/8"], "10.2.0.1", true),
            (&["10.0.0.0/32", "10.0.0.2/32"], "10.0.0.1", false),
            (&["2001:db8::/32"], "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            (&["2001:db8::/32"], "2001:db9::", false),
            (&["ffff:ffff::/32", "::/1"], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
        ] {
            assert_eq!(set(nets).contains(address.parse().unwrap()), want, "{nets:?} {address}");
        }
    }

    #[test]
    fn neighbours_are_one_range() {
        let nets: Vec<IpNet> = (0..=255u8).map(|n| format!("10.0.{n}.0/24").parse().unwrap()).collect();
        assert_eq!(Set::new(&nets).v4.len(), 1);
    }

    proptest! {
        #[test]
        fn as_each_network_says(
            nets in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..40),
            addresses in proptest::collection::vec(any::<u32>(), 1..40),
        ) {
            let nets: Vec<IpNet> = nets
                .iter()
                .map(|&(bits, len)| IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), len).unwrap())
                .collect();
            let set = Set::new(&nets);
            let edges = nets.iter().map(|net| net.broadcast());
            for address in addresses.iter().map(|&bits| std::net::Ipv4Addr::from_bits(bits).into()).chain(edges) {
                prop_assert_eq!(set.contains(address), nets.iter().any(|net| net.contains(&address)));
            }
        }
    }
}
