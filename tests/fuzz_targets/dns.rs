//! Dns: whatever comes as a question is answered within its bounds or not at all, and no answer is ever answered. The first byte chooses
//! the transport.

use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;

use rimward::geo::dns::{Point, Transport, Zone, refer_to_tcp, respond};

const SPEC: &str = "[dns]\nlisten = [\"127.0.0.1:53\"]\nzone = \"edge.example\"\nns = [\"fra.edge.example\"]\nnames = [\"@\", \"cdn\", \"*.apps\"]\n\
    pop = [{ code = \"FRA\", addresses = [\"192.0.2.1\", \"2001:db8::1\"] }, { code = \"NRT\", addresses = [\"192.0.2.2\"] }]\n\
    [[origin]]\nname = \"o\"\nurl = \"http://127.0.0.1:1\"\n";

/// Bytes of an answer over UDP.
const UDP_MAX: usize = 1232;

fn zone() -> &'static Zone {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let config = rimward::config::parse(SPEC, "fuzz.toml", Path::new("/nowhere"));
        Zone::new(&config.map_err(|errors| errors.render(false)).unwrap().dns.unwrap())
    })
}

pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let (transport, most) =
        if choice & 1 == 0 { (Transport::Udp, UDP_MAX) } else { (Transport::Tcp, usize::from(u16::MAX)) };
    let is_answer = bytes.get(2).is_some_and(|flags| flags & 0x80 != 0);
    if let Some(reply) = ask(bytes, transport) {
        assert!(!is_answer && reply.len() <= most);
        told(bytes, &reply);
    }
    if let Some(reply) = refer_to_tcp(bytes) {
        assert!(reply.len() <= bytes.len(), "no longer than what asked for it");
        assert!(reply[2] & 0x02 != 0, "it says: truncated");
        told(bytes, &reply);
    }
}

fn ask(bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let locate = |address: IpAddr| address.is_ipv4().then_some(Point { latitude: 50.0, longitude: 8.6 });
    respond(zone(), bytes, (IpAddr::from([10, 1, 0, 9]), transport), &locate, &|_| true).map(|reply| reply.bytes)
}

/// It is an answer to this question, and answered by nobody.
fn told(asked: &[u8], reply: &[u8]) {
    assert_eq!(reply[..2], asked[..2]);
    assert!(reply[2] & 0x80 != 0);
    assert_eq!(ask(reply, Transport::Udp), None);
    assert_eq!(refer_to_tcp(reply), None);
}
