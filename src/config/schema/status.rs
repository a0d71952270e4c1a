//! Status: one HTTP status or a range of them, as written.
//!
//! In: 404 or "500-504". Out: both ends. Never: which statuses a key allows (compile checks that).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One status (`404`) or a range of them (`"500-504"`), both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    pub from: u16,
    pub to: u16,
}

// === impl StatusRange ===
impl StatusRange {
    fn read(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        ((100..=599).contains(&from) && (from..=599).contains(&to)).then_some(StatusRange { from, to })
    }
}

struct StatusVisitor;

impl Visitor<'_> for StatusVisitor {
    type Value = StatusRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status like 404 or a range like \"500-504\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<StatusRange, E> {
        StatusRange::read(text).ok_or_else(|| {
            E::custom(format!("'{text}' is no status: write 404 or a range like \"500-504\", within 100-599"))
        })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<StatusRange, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StatusVisitor)
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.from == self.to {
            to.serialize_u16(self.from)
        } else {
            to.collect_str(&format_args!("{}-{}", self.from, self.to))
        }
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "status or range", "type": ["integer", "string"],
            "minimum": 100, "maximum": 599, "pattern": "^[1-5]\\d\\d(-[1-5]\\d\\d)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Doc {
        v: StatusRange,
    }

    #[test]
    fn statuses_and_ranges() {
        for (text, want) in [
            ("v = 404", Some((404, 404))),
            ("v = '500-504'", Some((500, 504))),
            ("v = '504-500'", None),
            ("v = 99", None),
            ("v = 600", None),
            ("v = -1", None),
            ("v = 'x'", None),
        ] {
            let got = toml::from_str::<Doc>(text).ok().map(|doc| doc.v).map(|r| (r.from, r.to));
            assert_eq!(got, want, "{text}");
        }
    }
}
