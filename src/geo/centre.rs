//! Centre: about where a country is.
//!
//! In: `geo/countries.txt`, embedded. Out: a point by the country's code. Never: a border.

use std::collections::HashMap;
use std::sync::LazyLock;

static TEXT: &str = include_str!("../../geo/countries.txt");

static CENTRES: LazyLock<HashMap<&'static str, (f64, f64)>> = LazyLock::new(|| TEXT.lines().filter_map(line).collect());

fn line(line: &'static str) -> Option<(&'static str, (f64, f64))> {
    let mut words = line.split(' ');
    let (code, latitude, longitude) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((code, (latitude, longitude)))
}

/// Degrees north and east. `country` is ISO 3166-1 alpha-2.
pub fn of(country: &str) -> Option<(f64, f64)> {
    CENTRES.get(country).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_has_a_centre() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#')).count();
        assert!(lines > 190 && lines == CENTRES.len(), "{lines}");
        for (code, (latitude, longitude)) in CENTRES.iter() {
            assert!(code.len() == 2 && latitude.abs() <= 66.0 && longitude.abs() <= 180.0, "{code}");
        }
        // Each site of the catalogue is in its country, or near enough.
        for (code, site) in crate::config::catalogue::sites() {
            let (latitude, longitude) = of(&site.country).unwrap();
            assert!((latitude - site.latitude).abs() < 25.0 && (longitude - site.longitude).abs() < 50.0, "{code}");
        }
    }
}
