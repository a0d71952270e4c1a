//! Share: which viewers get a canary.
//!
//! In: a viewer's address, the canary. Out: whether it is for this viewer, the same every time. Never: chance, state.

use std::net::IpAddr;

/// Whether `percent` of the viewers include this one. Another serial number chooses others.
pub fn takes(viewer: IpAddr, serial: u64, percent: u8) -> bool {
    let hash = match viewer.to_canonical() {
        IpAddr::V4(address) => xxhash_rust::xxh3::xxh3_64_with_seed(&address.octets(), serial),
        IpAddr::V6(address) => xxhash_rust::xxh3::xxh3_64_with_seed(&address.octets(), serial),
    };
    hash % 100 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn a_share_is_as_large_as_it_says_and_the_same_every_time() {
        let all = || (0..10_000u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
        for percent in [0, 1, 10, 50, 99, 100] {
            let chosen = all().filter(|viewer| takes(*viewer, 7, percent)).count() as i64;
            let want = i64::from(percent) * 100;
            assert!((chosen - want).abs() <= 150, "{percent}: {chosen}");
            assert!(percent % 100 != 0 || chosen == want);
        }
        // Who is in a small share stays in when it grows.
        assert!(all().filter(|viewer| takes(*viewer, 7, 10)).all(|viewer| takes(viewer, 7, 20)));
        assert!(all().any(|viewer| takes(viewer, 7, 10) != takes(viewer, 8, 10)));
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(takes(mapped, 7, 50), takes(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 7, 50));
        assert!(takes(IpAddr::V6(Ipv6Addr::LOCALHOST), 7, 100));
    }
}
