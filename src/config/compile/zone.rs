//! Zone: a zone file becomes records.
//!
//! In: text in the master file format (RFC 1035, section 5). Out: records of one zone that go together. Never: another file, a
//! delegation, a signature.

use std::collections::{HashMap, HashSet};

use hickory_proto::rr::{DNSClass, LowerName, Name, Record, RecordType};
use hickory_proto::serialize::txt::Parser;

/// Records of a zone file.
const RECORDS_MAX: usize = 10_000;

/// What a name may have here.
const KINDS: [RecordType; 11] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CAA,
    RecordType::CNAME,
    RecordType::HTTPS,
    RecordType::MX,
    RecordType::NS,
    RecordType::SOA,
    RecordType::SRV,
    RecordType::SVCB,
    RecordType::TXT,
];

/// Whether it says where a name is: an address, or another name.
pub(super) fn addresses(record: &Record) -> bool {
    matches!(record.record_type(), RecordType::A | RecordType::AAAA | RecordType::CNAME)
}

/// # Errors
/// In words: what cannot be read, or does not go together.
pub(super) fn read(text: &str, apex: &Name) -> Result<Vec<Record>, String> {
    // Nothing would watch what it names.
    if let Some(line) = text.lines().position(|line| line.trim_start().to_ascii_uppercase().starts_with("$INCLUDE")) {
        return Err(format!("line {}: $INCLUDE is not read: put it in one file", line + 1));
    }
    let records = parsed(text, apex).map_err(|error| placed(text, apex, &error))?;
    if records.len() > RECORDS_MAX {
        return Err(format!("more than {RECORDS_MAX} records"));
    }
    let mut kinds: HashMap<LowerName, HashSet<RecordType>> = HashMap::new();
    for record in &records {
        let (name, kind) = (&record.name, record.record_type());
        if !apex.zone_of(name) {
            return Err(format!("{name} is not within {apex}"));
        }
        if record.dns_class != DNSClass::IN || !KINDS.contains(&kind) {
            return Err(format!("{name}: records of type {kind} are not served"));
        }
        if matches!(kind, RecordType::NS | RecordType::SOA) && name.to_lowercase() != *apex {
            return Err(format!("{name}: {kind} is only for {apex} itself"));
        }
        if name.is_wildcard() {
            return Err(format!("{name}: wildcards are for `dns.names`"));
        }
        kinds.entry(name.into()).or_default().insert(kind);
    }
    // RFC 1034, section 3.6.2.
    match kinds
        .iter()
        .find(|(name, kinds)| kinds.contains(&RecordType::CNAME) && (kinds.len() > 1 || **name == apex.into()))
    {
        Some((name, _)) => Err(format!("{name} is an alias: it has nothing else, and is not the zone itself")),
        None => Ok(records),
    }
}

fn parsed(text: &str, apex: &Name) -> Result<Vec<Record>, String> {
    let (_, sets) = Parser::new(text, None, Some(apex.clone())).parse().map_err(|error| error.to_string())?;
    Ok(sets.values().flat_map(|set| set.records_without_rrsigs().cloned()).collect())
}

/// The parser's words with the line that it does not tell: from that line on, every beginning of the file fails as the whole does.
fn placed(text: &str, apex: &Name, error: &str) -> String {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).chain([text.len()]).collect();
    let fails = |end: usize| text.get(..end).is_some_and(|text| parsed(text, apex).is_err_and(|other| other == error));
    let line = ends.partition_point(|end| !fails(*end)) + 1;
    let help = if error.contains("ttl") { ": begin the file with `$TTL 300`, or give each record its own" } else { "" };
    format!("line {line}: {error}{help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_files() {
        let apex = Name::from_ascii("edge.example.").unwrap();
        let text = "$TTL 300\n@ IN TXT \"v=spf1 -all\"\nwww IN CNAME edge.example.\nns 60 IN A 192.0.2.53\n   IN AAAA 2001:db8::53\n";
        let shown = |records: Vec<Record>| {
            let mut shown: Vec<String> =
                records.iter().map(|r| format!("{} {} {}", r.name, r.ttl, r.record_type())).collect();
            shown.sort();
            shown
        };
        let want = [
            "edge.example. 300 TXT",
            "ns.edge.example. 300 AAAA",
            "ns.edge.example. 60 A",
            "www.edge.example. 300 CNAME",
        ];
        assert_eq!(shown(read(text, &apex).unwrap()), want);
        for (text, part) in [
            ("a 60 IN A nonsense", "line 1: "),
            ("$TTL 60\na IN A 192.0.2.1\n; a remark\nb IN A nonsense\nc IN A 192.0.2.2\n", "line 4: "),
            ("a IN A 192.0.2.1", "begin the file with `$TTL 300`"),
            ("a.other.example. 60 IN A 192.0.2.1", "not within"),
            ("a 60 IN PTR b.example.", "not served"),
            ("a 60 IN NS b.example.", "only for"),
            ("*.a 60 IN A 192.0.2.1", "dns.names"),
            ("a 60 IN CNAME b\na 60 IN TXT x", "alias"),
            ("@ 60 IN CNAME b", "alias"),
            (" $include /etc/passwd", "line 1"),
        ] {
            let error = read(text, &apex).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
