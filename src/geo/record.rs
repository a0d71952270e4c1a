//! Record: what a database says of an address.
//!
//! In: a record in the shape of MaxMind and DB-IP (nested, names by language) or of ip-location-db (flat). Out: parts of a place.
//! Never: an empty text as a value.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Place;

/// Every member of both shapes that a place has room for; all are optional.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record {
    country: Named,
    subdivisions: Vec<Named>,
    city: Named,
    postal: Postal,
    location: Location,
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<String>,
    country_code: Option<String>,
    state1: Option<String>,
    postcode: Option<String>,
    timezone: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// `{"iso_code": "DE", "names": {"en": "Germany"}}`, or the name alone.
#[derive(Debug, Default)]
struct Named {
    code: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    en: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Postal {
    code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
    metro_code: Option<u32>,
    time_zone: Option<String>,
}

// === impl Record ===
impl Record {
    /// Sets what `place` does not have yet.
    pub fn fill(self, place: &mut Place) {
        let region = self.subdivisions.into_iter().next().unwrap_or_default();
        // Both numbers of one file, or none: half of each is no place.
        if place.latitude.is_none() && place.longitude.is_none() {
            place.latitude = self.location.latitude.or(self.latitude);
            place.longitude = self.location.longitude.or(self.longitude);
        }
        text(&mut place.country, [self.country.code, self.country_code]);
        text(&mut place.country_name, [self.country.name]);
        text(&mut place.region, [region.code]);
        text(&mut place.region_name, [region.name, self.state1]);
        text(&mut place.city, [self.city.name]);
        text(&mut place.postal_code, [self.postal.code, self.postcode]);
        text(&mut place.time_zone, [self.location.time_zone, self.timezone]);
        text(&mut place.as_name, [self.autonomous_system_organization]);
        place.metro_code = place.metro_code.or(self.location.metro_code);
        place.asn = place.asn.or(self.autonomous_system_number);
    }
}

fn text<const N: usize>(to: &mut Option<String>, from: [Option<String>; N]) {
    if to.is_none() {
        *to = from.into_iter().flatten().find(|text| !text.is_empty());
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamedVisitor)
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a map with names by language")
    }

    fn visit_str<E>(self, name: &str) -> Result<Named, E> {
        Ok(Named { code: None, name: Some(name.to_owned()) })
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Named, M::Error> {
        let mut named = Named::default();
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "iso_code" => named.code = map.next_value()?,
                "names" => named.name = map.next_value::<Names>()?.en,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(named)
    }
}
