//! Zone: what the names of one zone are.
//!
//! In: a question, a client, where it is, which PoPs are well. Out: records and a code. Never: a name of another zone, bytes.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{HINFO, NS, SOA};
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordType};

use super::choose::{Point, PopId, Pops, network};
use crate::config::compiled::{DnsPop, GeoDns};

/// Aliases followed within the zone for one answer.
const ALIASES_MAX: usize = 8;

/// How long what does not change with the viewer may be kept where the zone file does not say.
const STATIC_TTL: u32 = 3600;
/// How long it may be remembered that there is nothing (RFC 2308, section 5).
const NEGATIVE_TTL: u32 = 60;
/// RFC 8482, section 4.2.
const ANY_TTL: u32 = 3600;

/// One zone, ready to answer.
#[derive(Debug)]
pub struct Zone {
    apex: Name,
    low: LowerName,
    /// Everything that does not depend on the client, PoPs' own names among it.
    records: HashMap<LowerName, Vec<Record>>,
    /// Every name there is, those in between too (RFC 8020).
    names: HashSet<LowerName>,
    steered: HashSet<LowerName>,
    wildcards: HashSet<LowerName>,
    pops: Pops,
    ttl: u32,
    soa: Record,
    /// How long a negative answer may be kept.
    negative: u32,
}

/// Who a question is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Of the viewer, as far as the resolver says (EDNS Client Subnet), else of the resolver.
    pub address: IpAddr,
    /// Bits of it that are known.
    pub bits: u8,
}

/// What a name is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub code: ResponseCode,
    /// Of this zone.
    pub authoritative: bool,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
    /// Bits of the client's address that it depends on (RFC 7871, section 7.2.1).
    pub scope: u8,
    pub pop: Option<PopId>,
}

/// Where an address is.
pub type Locate<'a> = &'a dyn Fn(IpAddr) -> Option<Point>;

// === impl Zone ===
impl Zone {
    pub fn new(spec: &GeoDns) -> Self {
        let apex = spec.zone.clone();
        let low = LowerName::from(&apex);
        let mut records: HashMap<LowerName, Vec<Record>> = HashMap::new();
        for record in &spec.records {
            records.entry((&record.name).into()).or_default().push(record.clone());
        }
        for pop in &spec.pops {
            // A code is a label by its making.
            let Ok(name) = apex.prepend_label(pop.code.to_ascii_lowercase()) else { continue };
            let own = pop.addresses.iter().map(|&address| Record::from_rdata(name.clone(), STATIC_TTL, address.into()));
            records.insert((&name).into(), own.collect());
        }
        let at_apex = records.entry(low.clone()).or_default();
        let has = |kind| move |record: &Record| record.record_type() == kind;
        if !at_apex.iter().any(has(RecordType::NS)) {
            at_apex.extend(
                spec.ns.iter().map(|ns| Record::from_rdata(apex.clone(), STATIC_TTL, RData::NS(NS(ns.clone())))),
            );
        }
        let soa = match at_apex.iter().find(|record| record.record_type() == RecordType::SOA) {
            Some(written) => written.clone(),
            None => {
                let primary = spec.ns.first().cloned().unwrap_or_else(|| apex.clone());
                let rdata = SOA::new(primary, spec.contact.clone(), 1, 3600, 600, 1_209_600, NEGATIVE_TTL);
                let soa = Record::from_rdata(apex.clone(), STATIC_TTL, RData::SOA(rdata));
                at_apex.push(soa.clone());
                soa
            }
        };
        let negative = match &soa.data {
            RData::SOA(written) => written.minimum.min(soa.ttl),
            _ => NEGATIVE_TTL,
        };
        let steered: HashSet<LowerName> = spec.steered.iter().cloned().collect();
        let mut names = HashSet::new();
        for name in records.keys().chain(&steered).chain(&spec.wildcards) {
            let mut name = name.clone();
            while low.zone_of(&name) && names.insert(name.clone()) {
                name = name.base_name();
            }
        }
        let ttl = u32::try_from(spec.ttl.as_secs()).unwrap_or(u32::MAX).max(1);
        let wildcards = spec.wildcards.iter().cloned().collect();
        Zone { apex, low, records, names, steered, wildcards, pops: Pops::new(spec), ttl, soa, negative }
    }

    pub fn pops(&self) -> &Pops {
        &self.pops
    }

    /// What `name` is for a client. `up` says whether a PoP is well.
    pub fn answer(
        &self,
        (name, kind, class): (&Name, RecordType, DNSClass),
        client: Client,
        locate: Locate<'_>,
        up: &dyn Fn(PopId) -> bool,
    ) -> Answer {
        let ours = self.low.zone_of(&name.into()) && matches!(class, DNSClass::IN | DNSClass::ANY);
        if !ours || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return Answer { code: ResponseCode::Refused, ..Answer::default() };
        }
        let mut answer = Answer { authoritative: true, ..Answer::default() };
        // The name is given back as it was asked for, capitals too.
        let mut at = name.clone();
        for _ in 0..=ALIASES_MAX {
            let low = LowerName::from(&at);
            let steered = self.is_steered(&low);
            if !steered && !self.names.contains(&low) {
                answer.code = ResponseCode::NXDomain;
                break;
            }
            if kind == RecordType::ANY {
                let hinfo = HINFO::new("RFC8482".to_owned(), String::new());
                answer.answers.push(Record::from_rdata(at, ANY_TTL, RData::HINFO(hinfo)));
                return answer;
            }
            if steered && matches!(kind, RecordType::A | RecordType::AAAA) {
                self.steer(&mut answer, &at, kind == RecordType::AAAA, client, (locate, up));
                break;
            }
            let listed = self.records.get(&low).map_or(&[][..], Vec::as_slice);
            let named = |record: &Record| {
                let mut record = record.clone();
                record.name = at.clone();
                record
            };
            answer.answers.extend(listed.iter().filter(|record| record.record_type() == kind).map(named));
            let alias = listed.iter().find(|record| record.record_type() == RecordType::CNAME);
            let Some(alias) = alias.filter(|_| kind != RecordType::CNAME) else { break };
            answer.answers.push(named(alias));
            let RData::CNAME(target) = &alias.data else { break };
            if !self.low.zone_of(&(&target.0).into()) {
                // The resolver goes on from here.
                return answer;
            }
            at = target.0.clone();
        }
        let found = answer.answers.iter().any(|record| record.record_type() == kind);
        if answer.code == ResponseCode::NXDomain || !found {
            let mut soa = self.soa.clone();
            soa.ttl = self.negative;
            answer.authorities.push(soa);
        } else if kind == RecordType::NS {
            answer.additionals = self.glue(&answer.answers);
        }
        answer
    }

    fn is_steered(&self, name: &LowerName) -> bool {
        if self.steered.contains(name) {
            return true;
        }
        if self.wildcards.is_empty() || self.names.contains(name) {
            return false;
        }
        // The closest name that is there decides (RFC 4592, section 3.3.1).
        let mut above = name.base_name();
        while !self.names.contains(&above) && self.low.zone_of(&above) {
            above = above.base_name();
        }
        self.wildcards.contains(&above)
    }

    fn steer(
        &self,
        answer: &mut Answer,
        name: &Name,
        v6: bool,
        client: Client,
        (locate, up): (Locate<'_>, &dyn Fn(PopId) -> bool),
    ) {
        let (network, bits) = network(client.address, client.bits);
        answer.scope = bits;
        answer.pop = self.pops.choose(network, locate(network), v6, up);
        let chosen: Option<&DnsPop> = answer.pop.and_then(|id| self.pops.list.get(id));
        let addresses = chosen.map_or(&[][..], |pop| &pop.addresses);
        let of_kind = addresses.iter().filter(|address| address.is_ipv6() == v6);
        answer.answers.extend(of_kind.map(|&address| Record::from_rdata(name.clone(), self.ttl, address.into())));
    }

    /// Addresses of servers within the zone.
    fn glue(&self, servers: &[Record]) -> Vec<Record> {
        let names = servers.iter().filter_map(|record| match &record.data {
            RData::NS(server) => Some(LowerName::from(&server.0)),
            _ => None,
        });
        let known = names.filter_map(|name| self.records.get(&name)).flatten();
        known.filter(|record| matches!(record.record_type(), RecordType::A | RecordType::AAAA)).cloned().collect()
    }

    /// As in the configuration, fully qualified.
    pub fn apex(&self) -> &Name {
        &self.apex
    }
}
