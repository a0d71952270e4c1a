//! Reach: the host calls of `rimward:edge` that go beyond the message.
//!
//! In: a guest's call. Out: what the call's state says to it. Never: a check of a grant; `host` makes it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::hooks::host::fetch::{Incoming, Outgoing};
use crate::hooks::host::{CallState, HostError, crypto, dynamic};

use super::bindings::{crypto as wit_crypto, dynamic as wit_dynamic, fetch, geo, kv, secrets, types};

impl secrets::Host for CallState {
    fn get(&mut self, name: String) -> Result<Vec<u8>, types::HostError> {
        Ok(self.secret(&name)?.to_vec())
    }
}

impl kv::Host for CallState {
    fn get(&mut self, store: String, key: String) -> Result<Option<Vec<u8>>, types::HostError> {
        Ok(self.store(&store)?.get(&key).map(Vec::from))
    }

    fn exists(&mut self, store: String, key: String) -> Result<bool, types::HostError> {
        Ok(self.store(&store)?.get(&key).is_some())
    }

    fn describe(&mut self, store: String) -> Result<kv::StoreInfo, types::HostError> {
        let about = self.store(&store)?.state();
        Ok(kv::StoreInfo { key_count: about.count, created_ms: about.created_ms, updated_ms: about.updated_ms })
    }

    async fn put(&mut self, store: String, key: String, value: Vec<u8>) -> Result<(), types::HostError> {
        Ok(CallState::put(self, &store, key, Bytes::from(value)).await?)
    }

    async fn delete(&mut self, store: String, key: String) -> Result<(), types::HostError> {
        Ok(CallState::delete(self, &store, key).await?)
    }
}

impl wit_crypto::Host for CallState {
    fn digest(&mut self, algorithm: String, data: Vec<u8>) -> Result<Vec<u8>, types::HostError> {
        Ok(crypto::digest(&algorithm, &data)?)
    }

    fn hmac(&mut self, algorithm: String, key: Vec<u8>, data: Vec<u8>) -> Result<Vec<u8>, types::HostError> {
        Ok(crypto::hmac(&algorithm, &key, &data)?)
    }

    fn verify(
        &mut self,
        algorithm: String,
        key: String,
        data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<bool, types::HostError> {
        Ok(crypto::verify(&algorithm, &key, &data, &signature)?)
    }

    fn equal(&mut self, a: Vec<u8>, b: Vec<u8>) -> bool {
        crypto::equal(&a, &b)
    }

    /// There is no error to answer with, and fewer bytes than asked for would be a trap of another kind.
    fn random(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        Ok(self.random.bytes(count as usize)?)
    }
}

impl geo::Host for CallState {
    fn lookup(&mut self, ip: String) -> Option<geo::Place> {
        // The import is the grant.
        let place = self.place(&ip).ok().flatten()?;
        Some(geo::Place {
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
        })
    }
}

impl fetch::Host for CallState {
    async fn send(&mut self, request: fetch::Outgoing) -> Result<fetch::Incoming, types::HostError> {
        let mut answers = self.fetch(vec![outgoing(request)]).await?;
        match answers.pop() {
            Some(answer) => Ok(incoming(answer?)),
            None => Err(types::HostError::Failed("no answer".to_owned())),
        }
    }

    async fn send_all(&mut self, requests: Vec<fetch::Outgoing>) -> Vec<Result<fetch::Incoming, types::HostError>> {
        let count = requests.len();
        match self.fetch(requests.into_iter().map(outgoing).collect()).await {
            Ok(answers) => answers.into_iter().map(|answer| Ok(incoming(answer?))).collect(),
            Err(error) => vec![Err(error.into()); count],
        }
    }
}

fn outgoing(request: fetch::Outgoing) -> Outgoing {
    Outgoing {
        method: request.method,
        url: request.url,
        headers: request.headers.into_iter().map(|field| (field.name, field.value)).collect(),
        body: request.body.into(),
        timeout: (request.timeout_ms > 0).then(|| Duration::from_millis(request.timeout_ms.into())),
    }
}

fn incoming(answer: Incoming) -> fetch::Incoming {
    let field = |(name, value): &(HeaderName, HeaderValue)| types::Field {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    fetch::Incoming {
        status: answer.status,
        headers: answer.headers.iter().map(field).collect(),
        body: answer.body.into(),
    }
}

impl wit_dynamic::Host for CallState {
    async fn call(&mut self, operation: String, payload: Vec<u8>) -> Result<Vec<u8>, String> {
        dynamic::call(self, &operation, &payload).await
    }
}

// === impl types::HostError ===
impl From<HostError> for types::HostError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Denied(words) => types::HostError::Denied(words),
            HostError::Invalid(words) => types::HostError::Invalid(words),
            HostError::Timeout(words) => types::HostError::Timeout(words),
            HostError::TooLarge(words) => types::HostError::TooLarge(words),
            HostError::Failed(words) => types::HostError::Failed(words),
        }
    }
}
