//! Wire: a question's bytes become an answer's.
//!
//! In: one DNS message (RFC 1035), whom it came from. Out: one to send back, or none. Never: a socket, more bytes than the asker
//! takes.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::choose::PopId;
use super::zone::{Answer, Client, Locate, Zone};

/// Bytes of a message over UDP that no path has to divide (DNS Flag Day 2020).
const UDP_MAX: u16 = 1232;
/// Bytes over UDP where the asker says nothing (RFC 1035, section 4.2.1).
const UDP_PLAIN: u16 = 512;
/// Bytes of a head.
const HEAD: usize = 12;

/// How it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What is sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub bytes: Vec<u8>,
    pub code: ResponseCode,
    /// Where the viewer is led.
    pub pop: Option<PopId>,
}

/// The answer to one message from `from`; `None`: what came is no question.
pub fn respond(
    zone: &Zone,
    bytes: &[u8],
    (from, transport): (IpAddr, Transport),
    locate: Locate<'_>,
    up: &dyn Fn(PopId) -> bool,
) -> Option<Reply> {
    let head = bytes.get(..HEAD)?;
    // The bit QR: an answer is never answered, or two servers would talk for ever.
    if head[2] & 0x80 != 0 {
        return None;
    }
    let Ok(asked) = Message::from_vec(bytes) else {
        let message = Message::error_msg(u16::from_be_bytes([head[0], head[1]]), OpCode::Query, ResponseCode::FormErr);
        return encode(&message, UDP_PLAIN, None);
    };
    let mut message = reply_to(&asked);
    let size = match (transport, &asked.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(UDP_PLAIN, UDP_MAX),
        (Transport::Udp, None) => UDP_PLAIN,
    };
    let failed = |mut message: Message, code| {
        message.metadata.response_code = code;
        encode(&message, size, None)
    };
    if asked.version() > 0 {
        return failed(message, ResponseCode::BADVERS);
    }
    if asked.metadata.op_code != OpCode::Query {
        return failed(message, ResponseCode::NotImp);
    }
    let [query] = asked.queries.as_slice() else { return failed(message, ResponseCode::FormErr) };
    let subnet = match subnet(&asked) {
        Ok(subnet) => subnet,
        Err(Malformed) => return failed(message, ResponseCode::FormErr),
    };
    let client = client(subnet, from);
    let Answer { code, authoritative, answers, authorities, additionals, scope, pop } =
        zone.answer((query.name(), query.query_type(), query.query_class()), client, locate, up);
    message.metadata.response_code = code;
    message.metadata.authoritative = authoritative;
    message.answers = answers;
    message.authorities = authorities;
    message.additionals = additionals;
    if let (Some(subnet), Some(edns)) = (subnet, &mut message.edns) {
        // What does not depend on the client, or must not (source prefix 0), holds for everybody.
        let scope = if subnet.source_prefix() == 0 { 0 } else { scope };
        let told = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), scope);
        edns.options_mut().insert(EdnsOption::Subnet(told));
    }
    encode(&message, size, pop)
}

/// "Ask again with TCP": an answer no longer than the question, for askers that ask too often.
pub fn refer_to_tcp(bytes: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(bytes).ok().filter(|asked| asked.metadata.message_type == MessageType::Query)?;
    let mut message = reply_to(&asked);
    message.metadata.truncation = true;
    message.edns = None;
    encode(&message, UDP_PLAIN, None).map(|reply| reply.bytes).filter(|reply| reply.len() <= bytes.len())
}

/// An answer without anything in it.
fn reply_to(asked: &Message) -> Message {
    let mut message = Message::response(asked.metadata.id, asked.metadata.op_code);
    message.metadata.recursion_desired = asked.metadata.recursion_desired;
    // A question that is not one is not repeated.
    if let [query] = asked.queries.as_slice() {
        message.add_query(Query::clone(query));
    }
    if asked.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_MAX);
        message.set_edns(edns);
    }
    message
}

/// A client subnet that breaks the rules.
#[derive(Debug)]
struct Malformed;

/// RFC 7871, section 7.1.1: in a question the scope is 0, and bits after the prefix are 0.
fn subnet(asked: &Message) -> Result<Option<ClientSubnet>, Malformed> {
    let option = asked.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet));
    let Some(EdnsOption::Subnet(subnet)) = option else { return Ok(None) };
    let source = u32::from(subnet.source_prefix());
    let rest = match subnet.addr() {
        IpAddr::V4(address) => source > 32 || address.to_bits().checked_shl(source).unwrap_or(0) != 0,
        IpAddr::V6(address) => source > 128 || address.to_bits().checked_shl(source).unwrap_or(0) != 0,
    };
    match rest || subnet.scope_prefix() != 0 {
        true => Err(Malformed),
        false => Ok(Some(*subnet)),
    }
}

/// With a source prefix of 0 the viewer wants not to be known: the resolver stands for it (RFC 7871, section 7.1.2).
fn client(subnet: Option<ClientSubnet>, from: IpAddr) -> Client {
    match subnet.filter(|subnet| subnet.source_prefix() > 0) {
        Some(subnet) => Client { address: subnet.addr(), bits: subnet.source_prefix() },
        None => Client { address: from, bits: u8::MAX },
    }
}

fn encode(message: &Message, size: u16, pop: Option<PopId>) -> Option<Reply> {
    let mut bytes = Vec::with_capacity(usize::from(UDP_PLAIN));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(size);
    message.emit(&mut encoder).ok()?;
    Some(Reply { bytes, code: message.metadata.response_code, pop })
}
