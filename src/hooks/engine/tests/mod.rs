//! The engine's tests: real guests, as WAT.

mod abi;
mod artifacts;
mod flat_answers;
mod guest;
mod hostile;
mod javascript;
mod lines;
mod load;
mod reach;
mod warm;
mod worlds;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::{Budget, Called, Engine, EngineSettings, Function};
use crate::config::compiled::{self, Flavor, Grants, Mode};
use crate::hooks::exchange::{Body, Exchange, Origin, Request, Response, Site};
use crate::hooks::host::Services;
use crate::hooks::host::fetch::Fetcher;
use crate::hooks::host::kv::KvStores;
use crate::hooks::{Event, Failure};

use guest::Guest;

/// Calls at once in tests: few, so that a leaked slot shows.
const SLOTS: usize = 4;
const MEMORY: usize = 4 << 20;

/// An engine with its own directory.
struct Bench {
    engine: Engine,
    artifacts: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with_memory(MEMORY)
    }

    fn with_memory(memory: usize) -> Self {
        let artifacts = tempfile::tempdir().unwrap();
        let settings = EngineSettings { concurrency: SLOTS, memory, artifacts: artifacts.path().to_owned() };
        Bench { engine: Engine::new(&settings).unwrap(), artifacts }
    }

    fn load(&self, wasm: impl AsRef<[u8]>, spec: &compiled::Function) -> Arc<Function> {
        self.engine.load(wasm.as_ref(), spec, &services()).unwrap()
    }

    fn refused(&self, wasm: impl AsRef<[u8]>, spec: &compiled::Function) -> String {
        match self.engine.load(wasm.as_ref(), spec, &services()) {
            Ok(_) => panic!("it was loaded"),
            Err(error) => error.to_string(),
        }
    }
}

fn services() -> Arc<Services> {
    Arc::new(Services::new(KvStores::default(), Arc::new(Fetcher::new().unwrap())))
}

fn spec(name: &str) -> compiled::Function {
    compiled::Function {
        name: name.to_owned(),
        file: name.into(),
        flavor: Flavor::Auto,
        mode: Mode::Extended,
        cpu: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        memory: MEMORY,
        concurrency: SLOTS,
        reuse: 1,
        grants: Grants { config: vec![("COLOR".into(), "blue".into()), ("A".into(), "1".into())], ..Grants::default() },
        record: 0,
    }
}

fn budget() -> Budget {
    Budget { cpu: Duration::from_millis(50), timeout: Duration::from_secs(5), memory: MEMORY }
}

fn site() -> Arc<Site> {
    Arc::new(Site {
        pop: "FRA".into(),
        behavior: "default".into(),
        domain: "d1.cloudfront.net".into(),
        distribution: "E1".into(),
        origins: vec!["main".into(), "other".into()],
        mode: Mode::Extended,
        include_body: true,
    })
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(field).collect()
}

fn exchange(event: Event) -> Exchange {
    let request = Request {
        method: Method::GET,
        uri: "/a/b".into(),
        query: "q=1".into(),
        has_query: true,
        client_ip: [192, 0, 2, 7].into(),
        server_ip: None,
        who: None,
        version: Version::HTTP_2,
        tls: true,
        headers: headers(&[("host", "example.test"), ("x-two", "one"), ("x-two", "two"), ("x-edge-secret", "hidden")]),
        body: Some(Body { data: "payload".into(), truncated: true }),
        origin: event.ne(&Event::ViewerRequest).then(|| Origin {
            name: "main".into(),
            host: "origin.test".into(),
            port: 8443,
            tls: true,
            path: "/base".into(),
            read_timeout: Duration::from_secs(3),
            keepalive_timeout: Duration::from_secs(5),
            headers: vec![(HeaderName::from_static("x-own"), HeaderValue::from_static("1"))],
            signed: false,
        }),
    };
    if event.is_request() {
        return Exchange::request(event, &site(), "id-1", 1_700_000_000_000, request);
    }
    let response = Response { status: StatusCode::OK, headers: headers(&[("content-type", "text/html")]), body: None };
    Exchange::response(event, &site(), "id-1", 1_700_000_000_000, request, response)
}

/// Until no instance lives: a call that was given up ends in the background.
async fn settled(bench: &Bench) {
    let gone = async {
        while bench.engine.instances() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("every instance ends");
}

/// One call at viewer-request.
async fn call(function: &Arc<Function>) -> Called {
    function.call(exchange(Event::ViewerRequest), budget()).await
}

/// A function that sets a header, to see that the engine serves on.
fn good(bench: &Bench) -> Arc<Function> {
    let mut guest = Guest::default();
    let set = guest.set_header("x-good", "yes");
    bench.load(guest.module(&set), &spec("good"))
}

async fn serves(function: &Arc<Function>) {
    let called = call(function).await;
    called.outcome.unwrap();
    assert_eq!(called.exchange.request.headers["x-good"], "yes");
}
