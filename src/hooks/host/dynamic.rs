//! Dynamic: every host call behind one name, for engines that cannot know what the code they run will use
//! (functions/wit/dynamic.md).
//!
//! In: an operation and its payload. Out: its answer, or words. Never: more than the function was granted; each operation is
//! checked when it is called.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::geo::Place;

use super::fetch::{Incoming, Outgoing};
use super::state::CallState;
use super::{HostError, Level, crypto};

/// Bytes of a payload that asks for requests: the largest body that one may have, in base64, and room for heads and
/// small bodies of others.
const FETCH_MAX: usize = 16 << 20;
/// Bytes of a payload with names, keys or a value of a key-value store: the largest value in base64, and keys in escapes.
const NAMES_MAX: usize = 1 << 20;
/// Header fields of a request, as `fetch` bounds them.
const LINES_MAX: usize = 256;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    level: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Store {
    store: String,
}

#[derive(Deserialize)]
struct Key {
    store: String,
    key: String,
}

#[derive(Deserialize)]
struct Entry {
    store: String,
    key: String,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoreInfo {
    key_count: u64,
    created_ms: u64,
    updated_ms: u64,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    country: Option<String>,
    country_name: Option<String>,
    region: Option<String>,
    region_name: Option<String>,
    city: Option<String>,
    postal_code: Option<String>,
    metro_code: Option<u32>,
    time_zone: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    asn: Option<u32>,
    as_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ask {
    #[serde(default)]
    method: String,
    url: String,
    #[serde(default, deserialize_with = "lines")]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    timeout_ms: u64,
}

/// Reads a list into a vector, and stops behind `most` elements: what a payload lists is no reason to hold it.
struct Few<'v, T> {
    into: &'v mut Vec<T>,
    most: usize,
}

#[derive(Serialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok(Answer),
    Err(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bound {
    timeout_ms: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Landed {
    elapsed_ms: u64,
    done: Vec<(u32, Outcome)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    request_id: &'a str,
    event: &'a str,
    pop: &'a str,
    behavior: &'a str,
    function: &'a str,
    version: &'a str,
    remaining_ms: u32,
}

/// Carries out one operation.
pub async fn call(state: &mut CallState, operation: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
    answer(state, operation, payload).await.map_err(|error| error.to_string())
}

async fn answer(state: &mut CallState, operation: &str, payload: &[u8]) -> Result<Vec<u8>, HostError> {
    if payload.len() > payload_max(operation) {
        let (size, most) = (payload.len(), payload_max(operation));
        return Err(HostError::TooLarge(format!("a payload of {size} bytes, {most} are allowed")));
    }
    match operation {
        "log.write" => {
            let line: Line<'_> = read(payload)?;
            let level = line.level.parse().unwrap_or(Level::Info);
            state.log.write(level, &line.message);
            Ok(Vec::new())
        }
        "config.all" => {
            let entries = state.identity.grants.config.iter();
            write(&entries.map(|(key, value)| (key.clone(), value.clone().into())).collect::<serde_json::Map<_, _>>())
        }
        "secrets.get" => {
            let Named { name } = read(payload)?;
            state.secret(&name).map(<[u8]>::to_vec)
        }
        "kv.get" => {
            let Key { store, key } = read(payload)?;
            Ok(match state.store(&store)?.get(&key) {
                Some(value) => [&[1], value.as_ref()].concat(),
                None => vec![0],
            })
        }
        "kv.exists" => {
            let Key { store, key } = read(payload)?;
            write(&state.store(&store)?.get(&key).is_some())
        }
        "kv.describe" => {
            let about = state.store(&read::<Store>(payload)?.store)?.state();
            write(&StoreInfo { key_count: about.count, created_ms: about.created_ms, updated_ms: about.updated_ms })
        }
        "kv.put" => {
            let Entry { store, key, value } = read(payload)?;
            state.put(&store, key, base64(&value)?.into()).await.map(|()| Vec::new())
        }
        "kv.delete" => {
            let Key { store, key } = read(payload)?;
            state.delete(&store, key).await.map(|()| Vec::new())
        }
        "kv.stores" => write(&state.identity.grants.kv.iter().map(|grant| &grant.store).collect::<Vec<_>>()),
        "geo.lookup" => write(&state.place(&read::<Address>(payload)?.ip)?.map(Found::from)),
        "fetch.send" => {
            state.may_fetch(1)?;
            let asked = outgoing(read(payload)?)?;
            let mut answers = state.fetch(vec![asked]).await?;
            let answer = answers.pop().ok_or_else(|| HostError::Failed("no answer".to_owned()))?;
            write(&incoming(answer?))
        }
        "fetch.send-all" => {
            let asked = several(payload, state.fetches_left()?);
            state.may_fetch(asked.as_ref().map_or_else(|(read, _)| *read, Vec::len))?;
            let asked = asked.map_err(|(_, error)| error)?;
            let asked = asked.into_iter().map(outgoing).collect::<Result<Vec<_>, _>>()?;
            let answers = state.fetch(asked).await?.into_iter();
            write(&answers.map(Outcome::from).collect::<Vec<_>>())
        }
        "fetch.start" => {
            state.may_fetch(1)?;
            let asked = outgoing(read(payload)?)?;
            write(&state.start(asked)?)
        }
        "fetch.next" => {
            let bound = read::<Bound>(payload)?.timeout_ms.map(Duration::from_millis);
            let since = Instant::now();
            let landed = state.flights.next(bound).await?.into_iter();
            let done = landed.map(|(number, answer)| (number, answer.into())).collect();
            let elapsed_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            write(&Landed { elapsed_ms, done })
        }
        "fetch.abort" => {
            state.flights.give_up(read(payload)?);
            Ok(Vec::new())
        }
        "crypto.digest" => {
            let (algorithm, data) = text(payload)?;
            crypto::digest(algorithm, data)
        }
        "crypto.hmac" => {
            let (algorithm, rest) = text(payload)?;
            let (key, data) = bytes(rest)?;
            crypto::hmac(algorithm, key, data)
        }
        "crypto.verify" => {
            let (algorithm, rest) = text(payload)?;
            let (key, rest) = text(rest)?;
            let (signature, data) = bytes(rest)?;
            crypto::verify(algorithm, key, data, signature).map(|good| vec![u8::from(good)])
        }
        "crypto.random" => {
            let count = payload.first_chunk().ok_or_else(malformed)?;
            state.random.bytes(u32::from_le_bytes(*count) as usize)
        }
        "clock.now" => Ok(state.now_ms().to_string().into_bytes()),
        "call.over" => Ok(if state.budget.is_over() { "true" } else { "false" }.into()),
        "call.info" => write(&Info {
            request_id: &state.exchange.request_id,
            event: state.exchange.event.as_str(),
            pop: &state.exchange.site.pop,
            behavior: &state.exchange.site.behavior,
            function: &state.identity.name,
            version: &state.identity.version,
            remaining_ms: state.remaining_ms(),
        }),
        other => Err(HostError::Invalid(format!("there is no host call '{}'", other.escape_debug()))),
    }
}

/// Bytes that the payload of an operation may have. What is not listed reads no more of it than it may, or copies none; that a guest
/// hands it over at all is bounded by `limits::HOST_CALL_MAX`.
fn payload_max(operation: &str) -> usize {
    match operation {
        "fetch.send" | "fetch.send-all" | "fetch.start" => FETCH_MAX,
        "secrets.get" | "kv.get" | "kv.exists" | "kv.describe" | "kv.put" | "kv.delete" | "geo.lookup" => NAMES_MAX,
        _ => usize::MAX,
    }
}

/// The requests of a list, of which one call has `left`. `Err` also says how many were read: one more than that when there are more.
fn several(payload: &[u8], left: usize) -> Result<Vec<Ask>, (usize, HostError)> {
    let mut asked = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let done = reader.deserialize_seq(Few { into: &mut asked, most: left }).and_then(|()| reader.end());
    match done {
        Ok(()) => Ok(asked),
        Err(error) => Err((asked.len(), HostError::Invalid(error.to_string()))),
    }
}

fn lines<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<(String, String)>, D::Error> {
    let mut lines = Vec::new();
    reader.deserialize_seq(Few { into: &mut lines, most: LINES_MAX })?;
    Ok(lines)
}

// === impl Few ===
impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(one) = list.next_element()? {
            self.into.push(one);
            if self.into.len() > self.most {
                return Err(A::Error::invalid_length(self.into.len(), &self));
            }
        }
        Ok(())
    }
}

// === impl Outcome ===
impl From<Result<Incoming, HostError>> for Outcome {
    fn from(answer: Result<Incoming, HostError>) -> Self {
        match answer {
            Ok(answer) => Outcome::Ok(incoming(answer)),
            Err(error) => Outcome::Err(error.to_string()),
        }
    }
}

// === impl Found ===
impl From<Place> for Found {
    fn from(place: Place) -> Self {
        Found {
            country: place.country,
            country_name: place.country_name,
            region: place.region,
            region_name: place.region_name,
            city: place.city,
            postal_code: place.postal_code,
            metro_code: place.metro_code,
            time_zone: place.time_zone,
            latitude: place.latitude,
            longitude: place.longitude,
            asn: place.asn,
            as_name: place.as_name,
        }
    }
}

fn outgoing(asked: Ask) -> Result<Outgoing, HostError> {
    Ok(Outgoing {
        method: if asked.method.is_empty() { "GET".to_owned() } else { asked.method },
        url: asked.url,
        headers: asked.headers.into_iter().map(|(name, value)| (name, latin1(&value))).collect(),
        body: base64(&asked.body)?.into(),
        timeout: (asked.timeout_ms > 0).then(|| Duration::from_millis(asked.timeout_ms)),
    })
}

fn incoming(answer: Incoming) -> Answer {
    let field = |(name, value): (HeaderName, HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().iter().map(|&byte| char::from(byte)).collect())
    };
    Answer {
        status: answer.status,
        headers: answer.headers.into_iter().map(field).collect(),
        body: BASE64.encode(&answer.body),
    }
}

/// A field's value as the Fetch standard has it: a character for a byte. What is beyond that goes as UTF-8.
fn latin1(value: &str) -> Vec<u8> {
    value.chars().map(|c| u8::try_from(c).ok()).collect::<Option<_>>().unwrap_or_else(|| value.as_bytes().to_vec())
}

fn base64(text: &str) -> Result<Vec<u8>, HostError> {
    BASE64.decode(text).map_err(|error| HostError::Invalid(format!("base64: {error}")))
}

fn read<'p, T: Deserialize<'p>>(payload: &'p [u8]) -> Result<T, HostError> {
    serde_json::from_slice(payload).map_err(|error| HostError::Invalid(error.to_string()))
}

fn write(answer: &impl Serialize) -> Result<Vec<u8>, HostError> {
    serde_json::to_vec(answer).map_err(|error| HostError::Failed(error.to_string()))
}

/// A length and that many bytes; and the rest.
fn bytes(payload: &[u8]) -> Result<(&[u8], &[u8]), HostError> {
    let (length, rest) = payload.split_first_chunk().ok_or_else(malformed)?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(malformed)
}

fn text(payload: &[u8]) -> Result<(&str, &[u8]), HostError> {
    let (text, rest) = bytes(payload)?;
    Ok((std::str::from_utf8(text).map_err(|_| malformed())?, rest))
}

fn malformed() -> HostError {
    HostError::Invalid("the payload is not what functions/wit/dynamic.md has".to_owned())
}

#[cfg(test)]
mod tests;
