//! Imports: the host calls of `rimward:edge`, each a few lines onto the call's state.
//!
//! In: a guest's call. Out: what [`CallState`] says to it. Never: a rule; `exchange` and `host` have them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use wasmtime::component::{HasSelf, Linker};

use crate::hooks::exchange::{EditError, Exchange, OriginChange, OriginPatch};
use crate::hooks::host::log::Stream;
use crate::hooks::host::{CallState, Level, state};

use super::bindings::{
    answer, call, clock, config, crypto, dynamic, fetch, geo, kv, log, origin, preview1, request, response, secrets,
    types, who,
};
use super::store::Data;

/// Everything a function may import. What one was not granted is refused before it gets here.
pub fn link(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    type Own = HasSelf<CallState>;
    fn state(data: &mut Data) -> &mut CallState {
        &mut data.call
    }
    call::add_to_linker::<_, Own>(linker, state)?;
    who::add_to_linker::<_, Own>(linker, state)?;
    request::add_to_linker::<_, Own>(linker, state)?;
    origin::add_to_linker::<_, Own>(linker, state)?;
    answer::add_to_linker::<_, Own>(linker, state)?;
    response::add_to_linker::<_, Own>(linker, state)?;
    log::add_to_linker::<_, Own>(linker, state)?;
    config::add_to_linker::<_, Own>(linker, state)?;
    secrets::add_to_linker::<_, Own>(linker, state)?;
    clock::add_to_linker::<_, Own>(linker, state)?;
    preview1::add_to_linker::<_, Own>(linker, state)?;
    kv::add_to_linker::<_, Own>(linker, state)?;
    geo::add_to_linker::<_, Own>(linker, state)?;
    fetch::add_to_linker::<_, Own>(linker, state)?;
    crypto::add_to_linker::<_, Own>(linker, state)?;
    dynamic::add_to_linker::<_, Own>(linker, state)?;
    types::add_to_linker::<_, Own>(linker, state)
}

impl types::Host for CallState {}

impl call::Host for CallState {
    fn request_id(&mut self) -> String {
        self.exchange.request_id.clone()
    }

    fn event(&mut self) -> String {
        self.exchange.event.as_str().to_owned()
    }

    fn pop(&mut self) -> String {
        self.exchange.site.pop.clone()
    }

    fn behavior(&mut self) -> String {
        self.exchange.site.behavior.clone()
    }

    fn function(&mut self) -> String {
        self.identity.name.clone()
    }

    fn version(&mut self) -> String {
        self.identity.version.clone()
    }

    fn remaining_ms(&mut self) -> u32 {
        CallState::remaining_ms(self)
    }
}

impl who::Host for CallState {
    fn principal(&mut self) -> Option<String> {
        self.exchange.request.who.as_ref().map(|who| who.json())
    }
}

impl request::Host for CallState {
    fn method(&mut self) -> String {
        self.exchange.request.method.as_str().to_owned()
    }

    fn uri(&mut self) -> String {
        self.exchange.request.uri.clone()
    }

    fn querystring(&mut self) -> String {
        self.exchange.request.query.clone()
    }

    fn client_ip(&mut self) -> String {
        self.exchange.request.client_ip.to_string()
    }

    fn http_version(&mut self) -> String {
        version(self.exchange.request.version).to_owned()
    }

    fn tls(&mut self) -> bool {
        self.exchange.request.tls
    }

    fn header(&mut self, name: String) -> Option<Vec<u8>> {
        first(&self.exchange.request.headers, &name)
    }

    fn header_lines(&mut self, name: String) -> Vec<Vec<u8>> {
        all(&self.exchange.request.headers, &name)
    }

    fn headers(&mut self) -> Vec<types::Field> {
        fields(&self.exchange.request.headers)
    }

    fn body(&mut self) -> Option<types::MessageBody> {
        let body = self.exchange.request.body.as_ref()?;
        Some(types::MessageBody { data: body.data.to_vec(), truncated: body.truncated })
    }

    fn set_uri(&mut self, uri: String) -> Edited {
        self.exchange.set_uri(&uri).map_err(Into::into)
    }

    fn set_querystring(&mut self, querystring: String) -> Edited {
        self.exchange.set_query(&querystring).map_err(Into::into)
    }

    fn set_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        at_request(&self.exchange)?;
        self.exchange.set_header(&name, &value).map_err(Into::into)
    }

    fn append_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        at_request(&self.exchange)?;
        self.exchange.append_header(&name, &value).map_err(Into::into)
    }

    fn remove_header(&mut self, name: String) -> Edited {
        at_request(&self.exchange)?;
        self.exchange.remove_header(&name).map_err(Into::into)
    }

    fn set_body(&mut self, data: Vec<u8>) -> Edited {
        at_request(&self.exchange)?;
        self.exchange.set_body(data.into()).map_err(Into::into)
    }
}

impl origin::Host for CallState {
    fn name(&mut self) -> Option<String> {
        self.exchange.request.origin.as_ref().map(|origin| origin.name.clone())
    }

    fn get(&mut self) -> Option<origin::Custom> {
        let origin = self.exchange.request.origin.as_ref()?;
        Some(origin::Custom {
            host: origin.host.clone(),
            port: origin.port,
            tls: origin.tls,
            path: origin.path.clone(),
            read_timeout_ms: u32::try_from(origin.read_timeout.as_millis()).unwrap_or(u32::MAX),
            headers: origin
                .shown()
                .map(|(name, value)| types::Field { name: name.into(), value: value.into() })
                .collect(),
        })
    }

    fn choose(&mut self, name: String) -> Edited {
        self.exchange.set_origin(state::choose(name)).map_err(Into::into)
    }

    fn set(&mut self, to: origin::Custom) -> Edited {
        let mut headers = Vec::with_capacity(to.headers.len());
        for field in to.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| types::EditError::Invalid)?;
            let value = HeaderValue::from_bytes(&field.value).map_err(|_| types::EditError::Invalid)?;
            headers.push((name, value));
        }
        let patch = OriginPatch {
            host: Some(to.host),
            port: Some(to.port),
            tls: Some(to.tls),
            path: Some(to.path),
            headers: Some(match &self.exchange.request.origin {
                Some(origin) => origin.meant(headers),
                None => headers,
            }),
            read_timeout: (to.read_timeout_ms > 0).then(|| Duration::from_millis(to.read_timeout_ms.into())),
            ..OriginPatch::default()
        };
        self.exchange.set_origin(OriginChange::To(patch)).map_err(Into::into)
    }
}

impl answer::Host for CallState {
    fn respond(&mut self, status: u16, headers: Vec<types::Field>, body: Vec<u8>) -> Edited {
        let headers = headers.iter().map(|field| (field.name.as_str(), field.value.as_slice()));
        self.exchange.respond(status, headers, Bytes::from(body)).map_err(Into::into)
    }
}

impl response::Host for CallState {
    fn status(&mut self) -> u16 {
        self.exchange.response.as_ref().map_or(0, |response| response.status.as_u16())
    }

    fn header(&mut self, name: String) -> Option<Vec<u8>> {
        first(&self.exchange.response.as_ref()?.headers, &name)
    }

    fn header_lines(&mut self, name: String) -> Vec<Vec<u8>> {
        self.exchange.response.as_ref().map(|response| all(&response.headers, &name)).unwrap_or_default()
    }

    fn headers(&mut self) -> Vec<types::Field> {
        self.exchange.response.as_ref().map(|response| fields(&response.headers)).unwrap_or_default()
    }

    fn set_status(&mut self, status: u16) -> Edited {
        self.exchange.set_status(status).map_err(Into::into)
    }

    fn set_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        at_response(&self.exchange)?;
        self.exchange.set_header(&name, &value).map_err(Into::into)
    }

    fn append_header(&mut self, name: String, value: Vec<u8>) -> Edited {
        at_response(&self.exchange)?;
        self.exchange.append_header(&name, &value).map_err(Into::into)
    }

    fn remove_header(&mut self, name: String) -> Edited {
        at_response(&self.exchange)?;
        self.exchange.remove_header(&name).map_err(Into::into)
    }

    fn set_body(&mut self, data: Vec<u8>) -> Edited {
        at_response(&self.exchange)?;
        self.exchange.set_body(data.into()).map_err(Into::into)
    }
}

impl log::Host for CallState {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &message);
    }
}

impl config::Host for CallState {
    fn get(&mut self, key: String) -> Option<String> {
        self.config(&key).map(str::to_owned)
    }

    fn all(&mut self) -> Vec<(String, String)> {
        self.identity.grants.config.clone()
    }
}

impl clock::Host for CallState {
    fn now_ms(&mut self) -> u64 {
        CallState::now_ms(self)
    }
}

impl preview1::Host for CallState {
    fn write(&mut self, output: u32, data: Vec<u8>) {
        self.log.output(if output == 2 { Stream::Err } else { Stream::Out }, &data);
    }

    fn random(&mut self) -> u64 {
        self.random.word()
    }

    fn now(&mut self) -> u64 {
        CallState::now_ms(self).saturating_mul(1_000_000)
    }

    fn environ_size(&mut self) -> u64 {
        let (count, bytes) = (self.identity.grants.config.len() as u64, self.identity.environ().count() as u64);
        count << 32 | bytes & u64::from(u32::MAX)
    }

    fn environ(&mut self, offset: u32) -> u64 {
        let word = self.identity.environ().skip(offset as usize).take(8).enumerate();
        word.fold(0, |word, (at, byte)| word | u64::from(byte) << (8 * at))
    }
}

type Edited = Result<(), types::EditError>;

// === impl types::EditError ===
impl From<EditError> for types::EditError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::ReadOnly => types::EditError::ReadOnly,
            EditError::Forbidden => types::EditError::Forbidden,
            // Functions built before there was a name for it know this one.
            EditError::Invalid | EditError::NoOrigin => types::EditError::Invalid,
            EditError::TooLarge => types::EditError::TooLarge,
            EditError::WrongEvent => types::EditError::WrongEvent,
        }
    }
}

fn at_request(exchange: &Exchange) -> Edited {
    if exchange.event.is_request() { Ok(()) } else { Err(types::EditError::WrongEvent) }
}

fn at_response(exchange: &Exchange) -> Edited {
    if exchange.event.is_request() { Err(types::EditError::WrongEvent) } else { Ok(()) }
}

fn first(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    state::lines(headers, name).next().map(|value| value.as_bytes().to_vec())
}

fn all(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    state::lines(headers, name).map(|value| value.as_bytes().to_vec()).collect()
}

fn fields(headers: &HeaderMap) -> Vec<types::Field> {
    Exchange::visible(headers).map(|(name, value)| field(name, value)).collect()
}

fn field(name: &HeaderName, value: &HeaderValue) -> types::Field {
    types::Field { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}
