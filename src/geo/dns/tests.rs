//! Tests of GeoDNS: places, weights, names, client subnets, odd messages, sizes, hints.
//!
//! In: a zone with three PoPs. Out: what each question gets. Never: a socket.

use std::collections::HashMap;
use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::*;
use crate::config::compiled::GeoDns;
use crate::geo::Place;

/// FRA and NRT have both kinds of addresses, GRU only IPv4.
const SPEC: &str = r#"
    [dns]
    listen = ["127.0.0.1:53"]
    zone = "Edge.example"
    ns = ["fra.edge.example", "ns.other.example"]
    names = ["@", "cdn", "*.apps"]
    pop = [
        { code = "FRA", addresses = ["192.0.2.1", "2001:db8::1"], weight = 300 },
        { code = "NRT", addresses = ["192.0.2.2", "2001:db8::2"] },
        { code = "GRU", addresses = ["192.0.2.3", "192.0.2.4"] },
    ]
"#;

const RECORDS: &str = "$TTL 300\n@ IN TXT hello\n@ IN MX 10 mail.other.example.\nwww IN CNAME cdn\nfar IN CNAME a.other.example.\n\
    round IN CNAME trip\ntrip IN CNAME round\nlost IN CNAME nothing\na.deep IN TXT x\n";

fn spec(more: &str) -> GeoDns {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("zone"), RECORDS).unwrap();
    let rest = "[[origin]]\nname = \"o\"\nurl = \"http://127.0.0.1:1\"\n";
    let spec = SPEC.replace("names =", &format!("{more}\nrecords = \"zone\"\nnames ="));
    let path = dir.path().join("rimward.toml");
    std::fs::write(&path, format!("{spec}\n{rest}")).unwrap();
    crate::config::load(&path).map_err(|errors| errors.render(false)).unwrap().dns.unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// 10.1.0.0/16 is in Vienna, 10.2 in Osaka, 10.3 in Lima, all else nowhere.
fn locate(address: IpAddr) -> Option<Point> {
    let IpAddr::V4(v4) = address else { return None };
    let (latitude, longitude) = match v4.octets() {
        [10, 1, ..] => (48.1, 16.6),
        [10, 2, ..] => (34.4, 135.2),
        [10, 3, ..] => (-12.0, -77.1),
        _ => return None,
    };
    Some(Point { latitude, longitude })
}

fn ask(zone: &Zone, asked: &str, kind: RecordType, from: &str, up: &[usize]) -> Answer {
    let client = Client { address: from.parse().unwrap(), bits: u8::MAX };
    zone.answer((&name(asked), kind, DNSClass::IN), client, &locate, &|id| up.contains(&id))
}

fn shown(answer: &Answer) -> Vec<String> {
    answer.answers.iter().map(|r| format!("{} {} {}", r.name, r.record_type(), r.data)).collect()
}

#[test]
fn distances() {
    let at = |code: &str| {
        let site = crate::config::catalogue::site(code).unwrap();
        Point { latitude: site.latitude, longitude: site.longitude }
    };
    // Great-circle distances of the airports, in kilometres, to a percent.
    for (from, to, want) in [
        ("FRA", "NRT", 9360.0),
        ("JFK", "LHR", 5540.0),
        ("SYD", "SCL", 11340.0),
        ("AKL", "LAX", 10480.0),
        ("FRA", "FRA", 0.0),
    ] {
        let found = at(from).distance(at(to));
        assert!((found - want).abs() <= want / 100.0 + 1.0, "{from} {to}: {found}");
    }
    let place = |country: &str| Place { country: Some(country.into()), ..Place::default() };
    assert!(point(&place("JP")).unwrap().distance(at("NRT")) < 300.0);
    assert_eq!((point(&place("ZZ")), point(&Place::default())), (None, None));
}

#[test]
fn the_nearest_pop_that_is_well() {
    let zone = Zone::new(&spec(""));
    let all = &[0, 1, 2][..];
    for (from, kind, up, want) in [
        ("10.1.0.9", RecordType::A, all, "FRA"),
        ("10.2.0.9", RecordType::A, all, "NRT"),
        ("10.3.0.9", RecordType::A, all, "GRU"),
        ("10.1.0.9", RecordType::A, &[1, 2], "NRT"),
        // Nobody is well: as if all were.
        ("10.2.0.9", RecordType::A, &[], "NRT"),
        // No address of that kind: the next one.
        ("10.3.0.9", RecordType::AAAA, all, "FRA"),
        ("10.1.0.9", RecordType::AAAA, &[2], "FRA"),
    ] {
        let answer = ask(&zone, "cdn.edge.example.", kind, from, up);
        let code = answer.pop.and_then(|id| zone.pops().code(id));
        assert_eq!((code, answer.code, answer.scope), (Some(want), ResponseCode::NoError, 24), "{from} {kind} {up:?}");
        assert!(answer.answers.iter().all(|record| record.record_type() == kind && record.ttl == 30));
    }
    assert_eq!(ask(&zone, "edge.example.", RecordType::A, "10.3.0.9", all).answers.len(), 2);
}

#[test]
fn weights_hold_and_networks_stay() {
    for (spec, what) in [(spec("policy = \"weighted\""), "by weight"), (spec(""), "of unknown place")] {
        let zone = Zone::new(&spec);
        let mut counts: HashMap<usize, u32> = HashMap::new();
        let mut moved = 0;
        for n in 0..5000u32 {
            let network = format!("172.{}.{}", 16 + n / 256, n % 256);
            let from = format!("{network}.7");
            let pop = |up: &[usize]| ask(&zone, "cdn.edge.example.", RecordType::A, &from, up).pop.unwrap();
            let first = pop(&[0, 1, 2]);
            *counts.entry(first).or_default() += 1;
            // The same network, the same PoP; another only when its own is gone.
            let neighbour = format!("{network}.250");
            assert_eq!(ask(&zone, "cdn.edge.example.", RecordType::A, &neighbour, &[0, 1, 2]).pop, Some(first));
            moved += u32::from(first != 2 && pop(&[0, 1]) != first);
        }
        // 300 : 100 : 100 of 5000, to a tenth.
        let near = |id: usize, want: u32| counts[&id].abs_diff(want) < want / 10;
        assert!(near(0, 3000) && near(1, 1000) && near(2, 1000), "{what}: {counts:?}");
        assert_eq!(moved, 0, "{what}");
    }
}

#[test]
fn what_names_are() {
    let zone = Zone::new(&spec(""));
    let (ok, gone, refused) = (ResponseCode::NoError, ResponseCode::NXDomain, ResponseCode::Refused);
    let soa = |answer: &Answer| answer.authorities.iter().any(|r| r.record_type() == RecordType::SOA && r.ttl == 60);
    for (asked, kind, code, want) in [
        (
            "edge.example.",
            RecordType::SOA,
            ok,
            &["edge.example. SOA fra.edge.example. hostmaster.edge.example. 1 3600 600 1209600 60"][..],
        ),
        ("edge.example.", RecordType::TXT, ok, &["edge.example. TXT hello"]),
        ("EDGE.example.", RecordType::MX, ok, &["EDGE.example. MX 10 mail.other.example."]),
        (
            "edge.example.",
            RecordType::NS,
            ok,
            &["edge.example. NS fra.edge.example.", "edge.example. NS ns.other.example."],
        ),
        ("nrt.edge.example.", RecordType::A, ok, &["nrt.edge.example. A 192.0.2.2"]),
        ("gru.edge.example.", RecordType::AAAA, ok, &[]),
        (
            "www.edge.example.",
            RecordType::A,
            ok,
            &["www.edge.example. CNAME cdn.edge.example.", "cdn.edge.example. A 192.0.2.1"],
        ),
        ("www.edge.example.", RecordType::CNAME, ok, &["www.edge.example. CNAME cdn.edge.example."]),
        ("far.edge.example.", RecordType::A, ok, &["far.edge.example. CNAME a.other.example."]),
        ("lost.edge.example.", RecordType::A, gone, &["lost.edge.example. CNAME nothing.edge.example."]),
        ("deep.edge.example.", RecordType::TXT, ok, &[]),
        ("b.deep.edge.example.", RecordType::TXT, gone, &[]),
        ("nothing.edge.example.", RecordType::A, gone, &[]),
        ("x.apps.edge.example.", RecordType::A, ok, &["x.apps.edge.example. A 192.0.2.1"]),
        ("y.x.apps.edge.example.", RecordType::A, ok, &["y.x.apps.edge.example. A 192.0.2.1"]),
        ("x.apps.edge.example.", RecordType::TXT, ok, &[]),
        ("apps.edge.example.", RecordType::A, ok, &[]),
        ("cdn.edge.example.", RecordType::HTTPS, ok, &[]),
        ("cdn.edge.example.", RecordType::ANY, ok, &["cdn.edge.example. HINFO RFC8482 "]),
        ("edge.example.", RecordType::AXFR, refused, &[]),
        ("other.example.", RecordType::A, refused, &[]),
        ("example.", RecordType::A, refused, &[]),
        ("notedge.example.", RecordType::A, refused, &[]),
    ] {
        let answer = ask(&zone, asked, kind, "10.1.0.9", &[0, 1, 2]);
        assert_eq!(
            (answer.code, shown(&answer)),
            (code, want.iter().map(ToString::to_string).collect()),
            "{asked} {kind}"
        );
        let negative =
            code == gone || (code == ok && !want.last().is_some_and(|last| last.contains(&format!(" {kind} "))));
        let elsewhere = asked.starts_with("far") || kind == RecordType::ANY;
        assert_eq!(soa(&answer), negative && !elsewhere, "{asked} {kind}");
        assert_eq!(answer.authoritative, code != refused, "{asked} {kind}");
    }
    let servers = ask(&zone, "edge.example.", RecordType::NS, "10.1.0.9", &[]);
    assert_eq!(servers.additionals.len(), 2, "the addresses of fra.edge.example");
    // A circle of aliases ends.
    assert!(shown(&ask(&zone, "round.edge.example.", RecordType::A, "10.1.0.9", &[])).len() < 12);
}

/// A question as a resolver sends it.
fn question(asked: &str, kind: RecordType, subnet: Option<(&str, u8, u8)>) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.add_query(Query::query(name(asked), kind));
    if let Some((address, source, scope)) = subnet {
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address.parse().unwrap(), source, scope)));
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

fn reply(zone: &Zone, bytes: &[u8], transport: Transport) -> Option<Message> {
    let from = "10.2.0.53".parse().unwrap();
    let reply = respond(zone, bytes, (from, transport), &locate, &|_| true)?;
    Some(Message::from_vec(&reply.bytes).unwrap())
}

/// The first address of the answer, and the subnet that it holds for.
fn told(message: &Message) -> (String, Option<(String, u8, u8)>) {
    let address = message.answers.first().map_or(String::new(), |record| record.data.to_string());
    let subnet = message.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet));
    let subnet = subnet.map(|option| match option {
        EdnsOption::Subnet(subnet) => (subnet.addr().to_string(), subnet.source_prefix(), subnet.scope_prefix()),
        other => panic!("{other:?}"),
    });
    (address, subnet)
}

#[test]
fn client_subnets() {
    let zone = Zone::new(&spec(""));
    let ip = |text: &str, source, scope| Some((text.to_owned(), source, scope));
    for (asked, subnet, want) in [
        // The resolver stands for its viewers: Osaka.
        ("cdn.edge.example.", None, ("192.0.2.2", None)),
        ("cdn.edge.example.", Some(("10.1.2.0", 24, 0)), ("192.0.2.1", ip("10.1.2.0", 24, 24))),
        ("cdn.edge.example.", Some(("10.1.0.0", 16, 0)), ("192.0.2.1", ip("10.1.0.0", 16, 16))),
        ("cdn.edge.example.", Some(("10.3.2.1", 32, 0)), ("192.0.2.3", ip("10.3.2.1", 32, 24))),
        ("cdn.edge.example.", Some(("2001:db8::", 56, 0)), ("192.0.2.1", ip("2001:db8::", 56, 56))),
        ("cdn.edge.example.", Some(("0.0.0.0", 0, 0)), ("192.0.2.2", ip("0.0.0.0", 0, 0))),
        // What does not depend on it holds for all.
        ("nrt.edge.example.", Some(("10.1.2.0", 24, 0)), ("192.0.2.2", ip("10.1.2.0", 24, 0))),
    ] {
        let message = reply(&zone, &question(asked, RecordType::A, subnet), Transport::Udp).unwrap();
        let (address, told) = told(&message);
        // An unknown place is answered by weight: whichever, but the same.
        if !matches!(subnet, Some((v6, ..)) if v6.contains(':')) {
            assert_eq!(address, want.0, "{asked} {subnet:?}");
        }
        assert_eq!(told, want.1, "{asked} {subnet:?}");
        assert!(message.metadata.authoritative && !message.metadata.recursion_available);
    }
    for subnet in [("10.1.2.3", 24, 0), ("10.1.2.0", 24, 24), ("2001:db8::1", 56, 0)] {
        // The encoder cuts the address: a bit within the last octet is left.
        let bytes = match subnet {
            ("10.1.2.3", ..) => question("cdn.edge.example.", RecordType::A, Some(("10.1.2.0", 20, 0))),
            ("2001:db8::1", ..) => question("cdn.edge.example.", RecordType::A, Some(("2001:db8:0:ff::", 59, 0))),
            other => question("cdn.edge.example.", RecordType::A, Some(other)),
        };
        let message = reply(&zone, &bytes, Transport::Udp).unwrap();
        assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::FormErr, 0), "{subnet:?}");
    }
}

#[test]
fn messages_that_are_no_plain_question() {
    let zone = Zone::new(&spec(""));
    let plain = question("cdn.edge.example.", RecordType::A, None);
    let code = |bytes: &[u8]| {
        reply(&zone, bytes, Transport::Udp).map(|message| (message.metadata.id, message.metadata.response_code))
    };
    let edited = |at: usize, value: u8| {
        let mut bytes = plain.clone();
        bytes[at] = value;
        bytes
    };
    assert_eq!(code(&plain), Some((4711, ResponseCode::NoError)));
    assert_eq!(code(&plain[..11]), None, "no head");
    assert_eq!(code(&edited(2, 0x80)), None, "an answer");
    assert_eq!(code(&edited(2, 4 << 3)), Some((4711, ResponseCode::NotImp)), "{:?}", OpCode::Notify);
    assert_eq!(code(&edited(5, 0)).map(|(_, code)| code), Some(ResponseCode::FormErr), "no question");
    assert_eq!(code(&plain[..20]), Some((4711, ResponseCode::FormErr)), "cut off");
    let mut versioned = Message::from_vec(&plain).unwrap();
    let mut edns = Edns::new();
    edns.set_version(1);
    versioned.set_edns(edns);
    let answer = reply(&zone, &versioned.to_vec().unwrap(), Transport::Udp).unwrap();
    // One number with two names: BADVERS, and BADSIG in another place (RFC 6895, section 2.3).
    assert_eq!((u16::from(answer.metadata.response_code), answer.edns.unwrap().version()), (16, 0));
    let referred = Message::from_vec(&refer_to_tcp(&plain).unwrap()).unwrap();
    assert!(referred.metadata.truncation && referred.answers.is_empty());
    assert_eq!(refer_to_tcp(&plain[..20]), None);
}

#[test]
fn an_answer_fits_its_way() {
    let mut spec = spec("");
    // 600 IPv6 addresses are more than any datagram takes.
    spec.pops[0].addresses = (0..600u128).map(|n| IpAddr::from((0x2001_0db8 << 96 | n).to_be_bytes())).collect();
    let zone = Zone::new(&spec);
    for (subnet, transport, most, cut) in [
        (None, Transport::Udp, 512, true),
        (Some(("10.1.0.0", 16, 0)), Transport::Udp, 1232, true),
        (None, Transport::Tcp, 65_535, false),
    ] {
        let bytes = question("fra.edge.example.", RecordType::AAAA, subnet);
        let from = "10.1.0.1".parse().unwrap();
        let reply = respond(&zone, &bytes, (from, transport), &locate, &|_| true).unwrap();
        let message = Message::from_vec(&reply.bytes).unwrap();
        assert!(reply.bytes.len() <= most, "{}", reply.bytes.len());
        assert_eq!(message.metadata.truncation, cut);
        assert!(cut || message.answers.iter().all(|record| matches!(record.data, RData::AAAA(_))));
    }
}

#[test]
fn hints() {
    let spec = spec("hint = { max_age = \"2m\" }");
    let hints = |code: &str| Hints::new(&spec, code);
    let at = |from: &str| locate(from.parse().unwrap()).unwrap();
    let tell = |code: &str, from: &str, up: &[usize]| {
        hints(code).for_viewer(at(from), &|id| up.contains(&id)).map(|value| value.to_str().unwrap().to_owned())
    };
    let tokyo = Some("h2=\"nrt.edge.example:443\"; ma=120".to_owned());
    assert_eq!(tell("FRA", "10.2.0.1", &[0, 1, 2]), tokyo);
    assert_eq!(tell("FRA", "10.1.0.1", &[0, 1, 2]), None, "it is the nearest");
    assert_eq!(tell("FRA", "10.2.0.1", &[0, 2]), None, "the nearer one is not well");
    assert_eq!(tell("AMS", "10.2.0.1", &[0, 1, 2]), None, "not one of them");
    // Vienna is nearly as far from one as from the other.
    let mut close = spec.clone();
    (close.pops[1].latitude, close.pops[1].longitude) = (49.0, 12.0);
    assert!(Hints::new(&close, "FRA").for_viewer(at("10.1.0.1"), &|_| true).is_some());
    (close.pops[1].latitude, close.pops[1].longitude) = (50.0, 9.0);
    assert_eq!(Hints::new(&close, "FRA").for_viewer(at("10.1.0.1"), &|_| true), None);
}
