//! Dns: which PoP a resolver is told of, asked with `dig`.
//!
//! In: questions over UDP and TCP, with client subnets. Out: what dig shows. Never: an answer of another server.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::pop::free_port;
use crate::harness::{Authority, HOST, Origin, Pop, Raw, Setup, until};

const DATABASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/geo/test.mmdb");

/// PoPs in Frankfurt, Tokyo and São Paulo; `more` are lines of `[dns]`, `pop` of each PoP.
fn config(origin: &Origin, at: SocketAddr, more: &str, pop: &str, behavior: &str) -> String {
    format!(
        "{}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{behavior}\n[geo]\ndatabases = [\"{DATABASE}\"]\n\
         [dns]\nlisten = [\"{at}\"]\nzone = \"edge.example\"\nns = [\"tst.edge.example\", \"nrt.edge.example\"]\nnames = [\"@\", \"*\"]\n{more}\n\
         [[dns.pop]]\ncode = \"TST\"\nlatitude = 50.03\nlongitude = 8.56\naddresses = [\"198.18.0.1\", \"2001:db8:f::1\"]\n{pop}\n\
         [[dns.pop]]\ncode = \"NRT\"\naddresses = [\"198.18.0.2\", \"2001:db8:f::2\"]\n\
         [[dns.pop]]\ncode = \"GRU\"\naddresses = [\"198.18.0.3\"]\n",
        origin.config("o")
    )
}

fn start(more: &str) -> (Pop, SocketAddr) {
    let (origin, at) = (Origin::fixed("", "a"), free_port());
    (Pop::start(config(&origin, at, more, "", "")), at)
}

/// What `dig` prints.
fn dig(at: SocketAddr, words: &str) -> String {
    let (host, port) = (format!("@{}", at.ip()), at.port().to_string());
    let mut command = Command::new("dig");
    let output = command.args([&host, "-p", &port]).args(words.split(' ')).args(["+tries=3", "+time=5"]).output();
    let output = output.expect("dig is there: the package bind9-dnsutils has it");
    String::from_utf8(output.stdout).unwrap()
}

fn short(at: SocketAddr, words: &str) -> Vec<String> {
    dig(at, &format!("+short {words}")).lines().map(str::to_owned).collect()
}

#[test]
fn a_resolver_is_told_of_the_pop_next_to_the_viewer() {
    let (pop, at) = start("");
    for (words, want) in [
        ("A cdn.edge.example +subnet=192.0.2.0/25", &["198.18.0.1"][..]),
        ("A cdn.edge.example +subnet=2001:db8::/48", &["198.18.0.2"]),
        ("A cdn.edge.example +subnet=2001:db8:1::/48", &["198.18.0.3"]),
        ("AAAA edge.example +subnet=2001:db8::/48", &["2001:db8:f::2"]),
        ("A edge.example +tcp +subnet=2001:db8::/48", &["198.18.0.2"]),
        ("A nrt.edge.example", &["198.18.0.2"]),
        ("NS edge.example", &["tst.edge.example.", "nrt.edge.example."]),
        ("ANY edge.example +notcp", &["\"RFC8482\" \"\""]),
    ] {
        assert_eq!(short(at, words), want, "{words}");
    }
    for (words, parts) in [
        (
            "A cdn.edge.example +subnet=192.0.2.0/25",
            &["status: NOERROR", "CLIENT-SUBNET: 192.0.2.0/25/24", "cdn.edge.example.\t30\tIN\tA", " aa "][..],
        ),
        ("A nrt.edge.example +subnet=192.0.2.0/25", &["CLIENT-SUBNET: 192.0.2.0/25/0"]),
        ("TXT edge.example", &["status: NOERROR", "ANSWER: 0", "SOA\ttst.edge.example. hostmaster.edge.example."]),
        ("A other.example", &["status: REFUSED"]),
        ("AXFR edge.example", &["Transfer failed"]),
        ("A edge.example +edns=1 +noednsneg", &["status: BADVERS"]),
        ("A edge.example +opcode=NOTIFY", &["status: NOTIMP"]),
    ] {
        let said = dig(at, words);
        for part in parts {
            assert!(said.contains(part), "{words}: {part:?} in\n{said}");
        }
    }
    pop.counts_to("rimward_dns_answers_total", &["pop=\"NRT\""], 3.0);
    assert_eq!(pop.metric("rimward_dns_pop_up", &[]), 3.0);
}

#[test]
fn a_pop_that_is_not_well_is_left_out_until_it_is() {
    let well = Arc::new(AtomicBool::new(true));
    let told = well.clone();
    let probed = Origin::start(move |exchange| {
        exchange.reply(if told.load(Ordering::SeqCst) { "200 OK" } else { "503 Down" }, "", "");
    });
    let (origin, at) = (Origin::fixed("", "a"), free_port());
    let health = "health = { path = \"/up\", interval = \"100ms\", timeout = \"100ms\", rise = 1, fall = 1 }";
    let everywhere = format!("probe = \"{}\"", probed.address);
    // Only the first is asked where something answers: the others are down from the first check on.
    let pop = Pop::start(config(&origin, at, health, &everywhere, ""));
    let near_japan = || short(at, "A edge.example +subnet=2001:db8::/48");
    until("the two that are gone to be left out", || (near_japan() == ["198.18.0.1"]).then_some(()));
    until("the metric", || (pop.metric("rimward_dns_pop_up", &[]) == 1.0).then_some(()));
    assert_eq!(probed.last().field("host"), Some("edge.example"));
    // Nobody is well: viewers are sent to whoever is nearest.
    well.store(false, Ordering::SeqCst);
    until("all to be down", || (near_japan() == ["198.18.0.2"]).then_some(()));
    well.store(true, Ordering::SeqCst);
    until("one to be back", || (near_japan() == ["198.18.0.1"]).then_some(()));
}

#[test]
fn a_reload_changes_the_zone() {
    let (origin, at) = (Origin::fixed("", "a"), free_port());
    let setup = Setup::new(config(&origin, at, "", "", ""));
    std::fs::write(setup.dir().join("zone"), "$TTL 60\ntext IN TXT \"one\"\nwww IN CNAME edge.example.\n").unwrap();
    let pop = setup.start();
    assert_eq!(short(at, "TXT text.edge.example"), Vec::<String>::new());
    let reply = pop.reload(&config(&origin, at, "records = \"zone\"\nttl = \"5s\"", "", ""));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(short(at, "TXT text.edge.example"), ["\"one\""]);
    assert_eq!(short(at, "A www.edge.example +subnet=2001:db8::/48"), ["edge.example.", "198.18.0.2"]);
    assert!(dig(at, "A edge.example").contains("edge.example.\t\t5\tIN\tA"));
}

#[test]
fn who_asks_too_often_is_sent_to_tcp_and_gets_no_more_than_it_sent() {
    let (pop, at) = start("rate = 2\nconnections = 1");
    // A question for "edge.example", type A.
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04edge\x07example\0\0\x01\0\x01";
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let mut referred = 0;
    for _ in 0..50 {
        socket.send_to(question, at).unwrap();
        let mut room = [0; 1500];
        let size = socket.recv(&mut room).unwrap();
        assert_eq!(room[..2], question[..2]);
        // The bit TC.
        if room[2] & 2 != 0 {
            referred += 1;
            assert!(size <= question.len(), "{size}");
        }
    }
    assert!(referred > 0);
    pop.counted("rimward_dns_referred_total", &[], f64::from(referred));
    assert_eq!(short(at, "A edge.example +tcp +subnet=192.0.2.0/24"), ["198.18.0.1"]);
    // One connection is all there is room for; when it is closed, there is room again.
    let held = TcpStream::connect(at).unwrap();
    until("the second to be closed", || {
        let mut second = Raw::connect(at);
        second.closed().then_some(())
    });
    drop(held);
    until("an answer", || (short(at, "A edge.example +tcp +subnet=192.0.2.0/24") == ["198.18.0.1"]).then_some(()));
}

#[test]
fn a_viewer_over_tls_is_told_of_the_nearer_pop() {
    let (origin, at) = (Origin::fixed("Cache-Control: max-age=60\r\n", "a"), free_port());
    let mut setup = Setup::new(config(&origin, at, "", "", "response = { steer = true }"));
    let authority = Authority::new();
    authority.issue(&[HOST]).files(setup.dir(), "server");
    let tls = "tls = { certificates = [{ cert = \"{dir}/server.pem\", key = \"{dir}/server.key\" }] }";
    setup.listeners =
        format!("[[listener]]\naddress = \"127.0.0.1:{{port}}\"\ntrusted_proxies = [\"127.0.0.1\"]\n{tls}\n");
    let pop = setup.start();
    let client = authority.client(&["http/1.1"], None);
    let hint = |viewer: &str, fields: &[(&str, &str)]| {
        let mut raw = Raw::secure(pop.extra[0], HOST, client.clone()).unwrap();
        let reply = raw.ask("GET", "/a", &[&[("X-Forwarded-For", viewer)], fields].concat());
        assert_eq!(reply.status, 200);
        reply.field("alt-svc").map(str::to_owned)
    };
    let tokyo = Some("h2=\"nrt.edge.example:443\"; ma=60".to_owned());
    // A miss, then a hit.
    assert_eq!(hint("2001:db8::7", &[]), tokyo);
    assert_eq!(hint("2001:db8::7", &[]), tokyo);
    assert_eq!(hint("192.0.2.7", &[]), None, "it is where it should be");
    assert_eq!(hint("10.0.0.1", &[]), None, "of unknown place");
    assert_eq!(hint("2001:db8::7", &[("Alt-Used", "tst.edge.example")]), None, "moved here already");
    let plain = pop.get_with("/a", &[("X-Forwarded-For", "2001:db8::7")]);
    assert_eq!(plain.field("alt-svc"), None, "not without TLS");
}
