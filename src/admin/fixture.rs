//! Fixture: a PoP's admin side on a socket, for the tests of this room and of the command line.
//!
//! In: a token or none. Out: answers as a client sees them, and what reached the closures. Never: built into the product.

use super::keys::KeyDesk;
use super::{AdminState, Facts, PurgeDone, router};
use crate::access::{
    self,
    keys::{Key, Keys},
    sigv4::Verifier,
};
use crate::cache::purge::Scope;
use crate::config::compiled::{
    ApiKey, Config, Fleet, Functions, Generated, KvBounds, KvStore, Limits, Observe, Origin, OriginKind, Period,
    PeriodQuota, Rates, Signer, Store, UsagePlan,
};
use crate::config::{compiled, secret::Secret};
use crate::fleet::{Board, KeyStore};
use crate::hooks::host::kv::{Change, Entry, KvFiles, KvStores};
use crate::limit::{self, Ledger};
use crate::observe::metrics::{FleetNumbers, TargetNumbers};
use crate::observe::{Metrics, Numbers, Recent};
use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub struct Pop {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub requests: Arc<Recent>,
    pub board: Arc<Board>,
    purges: Arc<AtomicUsize>,
    reloads: Arc<AtomicUsize>,
    keys: Arc<Mutex<Keys>>,
    _runtime: tokio::runtime::Runtime,
    _state_dir: tempfile::TempDir,
}

/// Calls that reached the closures.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub purges: usize,
    pub reloads: usize,
}

impl Pop {
    /// A purge of the tag `broken` fails; so does a reload when the token is `broken`.
    pub fn start(token: Option<&'static str>) -> Self {
        Pop::with(token, None)
    }

    /// The same, where keys of `signer` open the key-value stores.
    pub fn with(token: Option<&'static str>, signer: Option<&Signer>) -> Self {
        let (purges, reloads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (purged, reloaded) = (purges.clone(), reloads.clone());
        let metrics = Arc::new(Metrics::new("FRA", 10));
        metrics.read_numbers(|| Numbers {
            memory_bytes: 500,
            targets: vec![TargetNumbers { origin: "hello".into(), target: "h:80".into(), up: false }],
            fleet: Some(FleetNumbers { connected: false, nodes: 3, purge_position: 7 }),
            ..Numbers::default()
        });
        let config = Arc::new(config());
        let (requests, board) = (Arc::new(Recent::new("FRA", 64)), Arc::new(Board::default()));
        let keys: Arc<Mutex<Keys>> = Arc::default();
        let (desk, state_dir) = desk(keys.clone());
        let state = AdminState {
            token: token.map(|token| Arc::new(Secret::new(token.to_owned()))),
            metrics: metrics.clone(),
            config: Arc::new(move || config.clone()),
            facts: Arc::new(Facts::default),
            purge: Arc::new(move |request| {
                purged.fetch_add(1, Ordering::Relaxed);
                let broken = request.scopes.contains(&Scope::Tag("broken".into()));
                let done = if broken {
                    Err("the purge log is full".to_owned())
                } else {
                    Ok(PurgeDone { stamp: 42, ..PurgeDone::default() })
                };
                async move { done }.boxed()
            }),
            reload: Arc::new(move || {
                reloaded.fetch_add(1, Ordering::Relaxed);
                let broken = token == Some("broken");
                let done = if broken { Err("edge.toml:3: no such key".to_owned()) } else { Ok("abc123".to_owned()) };
                async move { done }.boxed()
            }),
            kv: {
                let (stores, files) = stores();
                Arc::new(move || {
                    let _open = &files;
                    stores.clone()
                })
            },
            signer: {
                let verifier = signer.map(|signer| Arc::new(Verifier::new(signer)));
                Arc::new(move || verifier.clone())
            },
            keys: Some(Arc::new(desk)),
            revisions: None,
            requests: requests.clone(),
            board: board.clone(),
            recent: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            axum::serve(listener, router(state).into_make_service_with_connect_info::<SocketAddr>()).await
        });
        Pop { address, metrics, requests, board, purges, reloads, keys, _runtime: runtime, _state_dir: state_dir }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The stored key that this value is now.
    pub fn key(&self, value: &str) -> Option<Arc<Key>> {
        self.keys.lock().lookup(value.as_bytes())
    }

    pub fn seen(&self) -> Seen {
        Seen { purges: self.purges.load(Ordering::Relaxed), reloads: self.reloads.load(Ordering::Relaxed) }
    }

    /// Status and body.
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        self.ask_as("application/json", method, path, token, body)
    }

    /// Status of a GET with one more header field.
    pub fn ask_with(&self, path: &str, field: Option<(&str, &str)>) -> u16 {
        let agent = agent();
        let mut request = http::Request::builder().uri(self.url() + path);
        if let Some((name, value)) = field {
            request = request.header(name, value);
        }
        agent.run(request.body(()).unwrap()).unwrap().status().as_u16()
    }

    /// Status, exception and body of the answer to a request as it is.
    pub fn send(&self, request: http::Request<Bytes>) -> (u16, String, String) {
        let agent = agent();
        let sent = match request.body().is_empty() {
            true => agent.run(request.map(drop)),
            false => agent.run(request.map(|body| body.to_vec())),
        };
        let mut response = sent.unwrap();
        let exception = response.headers().get("x-amzn-errortype").map(|name| name.to_str().unwrap().to_owned());
        (response.status().as_u16(), exception.unwrap_or_default(), response.body_mut().read_to_string().unwrap())
    }

    pub fn ask_as(&self, kind: &str, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let agent = agent();
        let mut request = http::Request::builder().method(method).uri(self.url() + path).header("content-type", kind);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = if method == "GET" {
            agent.run(request.body(()).unwrap()).unwrap()
        } else {
            agent.run(request.body(body.to_owned()).unwrap()).unwrap()
        };
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }
}

/// Plans `gold` and `bronze`, which open every stage; a key `fixed` of the configuration, "f" twenty times, which was used three times on 2026-11-26.
fn desk(keys: Arc<Mutex<Keys>>) -> (KeyDesk, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let quota = PeriodQuota { limit: 100, offset: 0, period: Period::Month, shared: false };
    let gold = UsagePlan {
        name: "gold".into(),
        throttle: None,
        quota: Some(quota),
        stages: Vec::new(),
        methods: Vec::new(),
        shared: false,
    };
    let bronze = UsagePlan { name: "bronze".into(), ..gold.clone() };
    let hash = access::keys::hash("f".repeat(20).as_bytes());
    let fixed = ApiKey { name: "fixed".into(), hash, enabled: true, plans: vec!["gold".into()] };
    let rates = Arc::new(Rates {
        plans: vec![gold, bronze],
        api_keys: vec![fixed],
        account: None,
        per_address: None,
        keys: 100,
        stored_keys: 10,
    });
    let ledger = Arc::new(Ledger::open(dir.path()).unwrap());
    let day = limit::period::parse("2026-11-26").unwrap();
    for _ in 0..3 {
        let id = limit::ledger::id("gold", "fixed", 0);
        assert!(ledger.count(&id, &quota, limit::period::begins_ms(day)).unwrap().admitted);
    }
    let store = Arc::new(KeyStore::new(&dir.path().join("keys.redb"), 10));
    let desk = KeyDesk {
        store: store.clone(),
        rates: Arc::new(move || rates.clone()),
        ledger: Arc::new(move || Some(ledger.clone())),
        changed: Arc::new(move || {
            *keys.lock() = Keys::new(store.list()?.into_iter().map(|stored| (stored.hash, stored.key)));
            Ok(())
        }),
        turn: Mutex::default(),
    };
    (desk, dir)
}

/// A store `flags` with `beta` in it, and the directory that goes with it.
fn stores() -> (KvStores, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let files = KvFiles::new(dir.path().to_owned());
    files.attach(Duration::ZERO).unwrap();
    let store = KvStore { name: "flags".into(), import: None, bounds: KvBounds::STRICT };
    let stores = files.stores(&[store]).unwrap();
    let beta = Change::Put(Entry { key: "beta".into(), value: "on".into() });
    stores.get("flags").unwrap().update(vec![beta], None).unwrap();
    (stores, dir)
}

fn config() -> Config {
    let second = Duration::from_secs(1);
    Config {
        warnings: Vec::new(),
        covered: Vec::new(),
        texts: Arc::default(),
        pop: compiled::Pop { code: "FRA".into(), threads: 1, state_dir: "state".into(), drain: second },
        listeners: Vec::new(),
        limits: Limits {
            connections: 1,
            connections_per_address: 1,
            connections_exempt: Vec::new(),
            header_timeout: second,
            header_count: 1,
            header_size: 1,
            uri_size: 1,
            idle_timeout: second,
            body_timeout: second,
            body_min_rate: 0,
            body_grace: second,
            body_size: 1,
            signed_bodies: 1,
            signed_bodies_per_address: 1,
            signed_body_timeout: second,
            write_timeout: second,
            requests_per_connection: 1,
            h2_streams: 1,
            h2_resets: 1,
            h2_reset_window: second,
        },
        store: Store { memory: 1000, disk: None, collapse_timeout: second, purge_scopes: 1 },
        origins: vec![Origin {
            name: "hello".into(),
            kind: OriginKind::Generated(Arc::new(Generated {
                status: http::StatusCode::OK,
                headers: Vec::new(),
                body: bytes::Bytes::new(),
            })),
            headers: Vec::new(),
            path: String::new(),
            tier: compiled::Tier::default(),
        }],
        groups: Vec::new(),
        behaviors: Vec::new(),
        functions: Vec::new(),
        engine: Functions {
            concurrency: 1,
            memory: 1 << 20,
            artifacts: "state/functions".into(),
            images: "state/functions/oci".into(),
            records: "state/records".into(),
            records_size: 1,
        },
        kv_stores: Vec::new(),
        kv_imports: Vec::new(),
        local_lambda: None,
        access: compiled::Access::default(),
        rates: compiled::Rates::default(),
        dynamodb: None,
        dns: None,
        geo: Vec::new(),
        fleet: Fleet {
            node: "fra".into(),
            bus: None,
            secret: None,
            trust: Vec::new(),
            peers: Vec::new(),
            shard: false,
            purge_retention: second,
            revisions: 1,
            revision_size: 1,
            exchange: second,
            silence: second,
        },
        admin: None,
        observe: Observe {
            access_log: None,
            level: log::LevelFilter::Info,
            traces: None,
            metric_hosts: 10,
            recent: 16,
        },
        digest: "abc123".into(),
        sources: vec!["edge.toml".into()],
    }
}

/// A client that takes every status as an answer, and asks no proxy of the environment.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(Duration::from_secs(30))).build().into()
}
