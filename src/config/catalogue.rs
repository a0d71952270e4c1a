//! Catalogue: where PoPs are, by the code of the airport next to them.
//!
//! In: `geo/pops.toml`, embedded. Out: a site by its IATA code. Never: a PoP that runs (the configuration names those).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A place with a code.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
}

static TEXT: &str = include_str!("../../geo/pops.toml");

// A test reads it: it cannot be broken in a build.
static SITES: LazyLock<BTreeMap<String, Site>> = LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());

/// All of them, by code.
pub fn sites() -> &'static BTreeMap<String, Site> {
    &SITES
}

/// `code` in upper case.
pub fn site(code: &str) -> Option<&'static Site> {
    SITES.get(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_is_a_place_with_a_code() {
        let sites: BTreeMap<String, Site> = toml::from_str(TEXT).unwrap();
        assert!(sites.len() > 60, "{}", sites.len());
        for (code, site) in &sites {
            let letters = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_uppercase());
            assert!(letters(code, 3) && letters(&site.country, 2) && !site.city.is_empty(), "{code}");
            assert!(site.latitude.abs() < 66.0 && site.longitude.abs() < 180.0, "{code}");
        }
        assert_eq!(super::site("FRA").unwrap().city, "Frankfurt");
        assert_eq!(super::site("QQQ"), None);
    }
}
