//! Filter: which requests a follower wants to see.
//!
//! In: names and values, as a query string has them. Out: yes or no for one record. Never: an allocation while matching.

use crate::observe::record::{Outcome, Record};

/// What may be asked for: all of it must hold. The default takes every request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    host: Option<String>,
    prefix: Option<Vec<u8>>,
    status: Option<Status>,
    pop: Option<String>,
    cache: Option<Outcome>,
    function: Option<String>,
    /// Nanoseconds.
    slower: Option<u64>,
}

/// Why a filter was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("there is no filter {0:?}: there are host, path, status, pop, cache, function and min_ms")]
    Name(String),
    #[error("status {0:?} is neither a code like 404 nor a class like 5xx")]
    Status(String),
    #[error("cache {0:?} is none of hit, stale, revalidated, miss, pass, error, redirect, generated and refused")]
    Cache(String),
    #[error("min_ms {0:?} is no number of milliseconds")]
    Millis(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Code(u16),
    Class(u16),
}

// === impl Filter ===
impl Filter {
    /// Reads names and values; an empty value asks for nothing.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FilterError> {
        let mut filter = Filter::default();
        for (name, value) in pairs {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match name {
                "host" => filter.host = Some(value.to_ascii_lowercase()),
                "path" => filter.prefix = Some(value.trim_end_matches('*').as_bytes().to_vec()),
                "status" => filter.status = Some(status(value)?),
                "pop" => filter.pop = Some(value.to_ascii_uppercase()),
                "cache" => filter.cache = Some(cache(value)?),
                "function" => filter.function = Some(value.to_owned()),
                "min_ms" => filter.slower = Some(nanos(value)?),
                other => return Err(FilterError::Name(other.to_owned())),
            }
        }
        Ok(filter)
    }

    pub fn matches(&self, record: &Record<'_>, pop: &str) -> bool {
        let is = |wanted: &Option<String>, there: &str| wanted.as_deref().is_none_or(|wanted| wanted == there);
        is(&self.host, record.host)
            && is(&self.pop, pop)
            && self.prefix.as_ref().is_none_or(|prefix| record.path.starts_with(prefix))
            && self.cache.is_none_or(|cache| cache == record.cache)
            && self.slower.is_none_or(|slower| record.duration_ns >= slower)
            && self.status.is_none_or(|status| match status {
                Status::Code(code) => record.status == code,
                Status::Class(class) => record.status / 100 == class,
            })
            && self.function.as_deref().is_none_or(|name| record.calls.iter().any(|call| call.function.name() == name))
    }
}

fn status(text: &str) -> Result<Status, FilterError> {
    let wrong = || FilterError::Status(text.to_owned());
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
    match (class, class.unwrap_or(text).parse::<u16>()) {
        (Some(_), Ok(class @ 1..=5)) => Ok(Status::Class(class)),
        // 0: the viewer left before an answer.
        (None, Ok(code @ (0 | 100..=599))) => Ok(Status::Code(code)),
        _ => Err(wrong()),
    }
}

fn cache(text: &str) -> Result<Outcome, FilterError> {
    let named = Outcome::ALL.into_iter().find(|outcome| text.eq_ignore_ascii_case(outcome.as_str()));
    named.ok_or_else(|| FilterError::Cache(text.to_owned()))
}

fn nanos(text: &str) -> Result<u64, FilterError> {
    match text.parse::<f64>() {
        // A number past the largest duration saturates.
        Ok(millis) if millis >= 0.0 => Ok((millis * 1e6) as u64),
        _ => Err(FilterError::Millis(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;
    use crate::observe::record::{Call, CallOutcome, sample};

    #[test]
    fn each_filter_takes_what_it_names() {
        let metrics = Metrics::new("FRA", 0);
        let functions = metrics.functions(["auth"]);
        let calls = [Call {
            function: functions[0].clone(),
            event: "viewer-request",
            outcome: CallOutcome::Ok,
            cpu_ns: 1,
            wall_ns: 1,
            edits: 0,
            error: "".into(),
            result: None,
        }];
        // GET https://shop.example/a b, 200, a hit in 1.23 ms.
        let record = Record { calls: &calls, ..sample(metrics.unrouted()) };
        for (filter, want) in [
            (&[][..], true),
            (&[("host", " Shop.Example ")], true),
            (&[("host", "example")], false),
            (&[("path", "/a")], true),
            (&[("path", "/a*")], true),
            (&[("path", "/b")], false),
            (&[("status", "200")], true),
            (&[("status", "2xx")], true),
            (&[("status", "5XX")], false),
            (&[("status", "404")], false),
            (&[("pop", "fra")], true),
            (&[("pop", "NRT")], false),
            (&[("cache", "hit")], true),
            (&[("cache", "miss")], false),
            (&[("function", "auth")], true),
            (&[("function", "aut")], false),
            (&[("min_ms", "1.2")], true),
            (&[("min_ms", "1.3")], false),
            (&[("status", ""), ("cache", " ")], true),
            (&[("host", "shop.example"), ("cache", "miss")], false),
        ] {
            let parsed = Filter::parse(filter.iter().copied()).unwrap();
            assert_eq!(parsed.matches(&record, "FRA"), want, "{filter:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (name, value, says) in [
            ("hsot", "a", "there is no filter \"hsot\""),
            ("status", "6xx", "neither a code"),
            ("status", "99", "neither a code"),
            ("status", "x", "neither a code"),
            ("cache", "hot", "is none of hit"),
            ("min_ms", "-1", "no number"),
            ("min_ms", "NaN", "no number"),
        ] {
            let error = Filter::parse([(name, value)]).unwrap_err().to_string();
            assert!(error.contains(says), "{name}={value}: {error}");
        }
    }
}
