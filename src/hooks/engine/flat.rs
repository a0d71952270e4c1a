//! Flat: the flat world's two buffers (functions/wit/flat.md).
//!
//! In: a message; what the function answered. Out: the buffer it is given; the edits, made one by one. Never: trust in a length.

use bytes::Bytes;
use http::HeaderMap;

use crate::hooks::exchange::{EditError, Exchange};
use crate::hooks::failure::Failure;
use crate::hooks::host::{CallState, Level, state};

/// The layout's version.
const VERSION: u8 = 1;
/// Header fields an answer may list.
const FIELDS_MAX: u32 = 256;
/// Operations of one answer: room for every field of a message to be removed, set and appended to several times over, and less than a
/// tick of work.
pub const OPERATIONS_MAX: usize = 4096;

/// What the function is given.
pub fn input(exchange: &Exchange) -> Vec<u8> {
    let request = &exchange.request;
    let mut out = Vec::with_capacity(2048);
    out.extend([VERSION, exchange.event.code()]);
    bytes(&mut out, exchange.request_id.as_bytes());
    bytes(&mut out, request.client_ip.to_string().as_bytes());
    bytes(&mut out, request.method.as_str().as_bytes());
    bytes(&mut out, request.uri.as_bytes());
    bytes(&mut out, request.query.as_bytes());
    fields(&mut out, &request.headers);
    match &request.body {
        None => out.push(0),
        Some(body) => {
            out.push(if body.truncated { 2 } else { 1 });
            bytes(&mut out, &body.data);
        }
    }
    if let Some(response) = &exchange.response {
        out.extend(response.status.as_u16().to_le_bytes());
        fields(&mut out, &response.headers);
    }
    out
}

fn bytes(out: &mut Vec<u8>, data: &[u8]) {
    out.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(data);
}

fn fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    let count = out.len();
    out.extend([0; 4]);
    let mut fields = 0u32;
    for (name, value) in Exchange::visible(headers) {
        bytes(out, name.as_str().as_bytes());
        bytes(out, value.as_bytes());
        fields += 1;
    }
    out[count..count + 4].copy_from_slice(&fields.to_le_bytes());
}

/// Makes the edits the function answered with.
pub fn apply(call: &mut CallState, output: &[u8]) -> Result<(), Failure> {
    let (size, most) = (output.len(), call.exchange.limits().output());
    if size > most {
        return Err(Failure::Validation(format!("the answer has {size} bytes, {most} are allowed")));
    }
    let mut reader = Reader(output);
    match reader.u8()? {
        VERSION => {}
        version => return Err(Failure::Validation(format!("version {version} of the flat world is not known"))),
    }
    for _ in 0..OPERATIONS_MAX {
        if reader.0.is_empty() {
            return Ok(());
        }
        operation(call, &mut reader)?;
    }
    match reader.0.is_empty() {
        true => Ok(()),
        false => Err(Failure::Validation(format!("the answer has more than {OPERATIONS_MAX} operations"))),
    }
}

fn operation(call: &mut CallState, reader: &mut Reader<'_>) -> Result<(), Failure> {
    let exchange = &mut call.exchange;
    let refused = |what: &str, name: &str, error: EditError| Failure::Validation(format!("{what} '{name}': {error}"));
    match reader.u8()? {
        1 => {
            let uri = reader.str()?;
            exchange.set_uri(uri).map_err(|error| refused("uri", uri, error))
        }
        2 => {
            let query = reader.str()?;
            exchange.set_query(query).map_err(|error| refused("query string", query, error))
        }
        3 => {
            let (name, value) = (reader.str()?, reader.bytes()?);
            exchange.set_header(name, value).map_err(|error| refused("header", name, error))
        }
        4 => {
            let (name, value) = (reader.str()?, reader.bytes()?);
            exchange.append_header(name, value).map_err(|error| refused("header", name, error))
        }
        5 => {
            let name = reader.str()?;
            exchange.remove_header(name).map_err(|error| refused("header", name, error))
        }
        6 => {
            let body = Bytes::copy_from_slice(reader.bytes()?);
            exchange.set_body(body).map_err(|error| Failure::Validation(format!("body: {error}")))
        }
        7 => {
            let status = reader.u16()?;
            exchange.set_status(status).map_err(|error| Failure::Validation(format!("status {status}: {error}")))
        }
        8 => respond(exchange, reader),
        9 => Err(Failure::Execution(reader.str()?.to_owned())),
        10 => {
            let name = reader.str()?;
            exchange.set_origin(state::choose(name.to_owned())).map_err(|error| refused("origin", name, error))
        }
        11 => {
            let level = Level::of_code(reader.u8()?).ok_or_else(malformed)?;
            call.log.write(level, reader.str()?);
            Ok(())
        }
        other => Err(Failure::Validation(format!("operation {other} of the flat world is not known"))),
    }
}

fn respond(exchange: &mut Exchange, reader: &mut Reader<'_>) -> Result<(), Failure> {
    let (status, count) = (reader.u16()?, reader.u32()?);
    if count > FIELDS_MAX {
        return Err(Failure::Validation(format!("an answer with {count} header fields")));
    }
    let headers = (0..count).map(|_| Ok((reader.str()?, reader.bytes()?))).collect::<Result<Vec<_>, Failure>>()?;
    let body = Bytes::copy_from_slice(reader.bytes()?);
    let answered = exchange.respond(status, headers.into_iter(), body);
    answered.map_err(|error| Failure::Validation(format!("answer with status {status}: {error}")))
}

/// The rest of an answer.
struct Reader<'a>(&'a [u8]);

// === impl Reader ===
impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Failure> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, Failure> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Failure> {
        self.array().map(u32::from_le_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Failure> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn str(&mut self) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.bytes()?).map_err(|_| malformed())
    }
}

fn malformed() -> Failure {
    Failure::Validation("the answer is no sequence of the flat world's operations".to_owned())
}
