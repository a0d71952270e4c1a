//! Export: how sampled requests reach a collector.
//!
//! In: records with a sampled context. Out: OTLP over HTTP, in batches from a thread of its own. Never: waits on the request
//! path; past the queue spans are dropped and counted.

use super::TraceContext;
use crate::config::compiled::Traces;
use crate::observe::ObserveError;
use crate::observe::record::{Record, Visit};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter as Otlp, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Spans that wait for the exporter; about 1 KiB each.
const QUEUE: usize = 2048;
/// Spans in one request to the collector.
const BATCH: usize = 512;
/// Longest time a span waits for its batch to fill.
const DELAY: Duration = Duration::from_secs(2);
/// For one request to the collector.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Handle of the exporting thread.
pub struct Exporter {
    percent: u8,
    spans: Mutex<Option<mpsc::Sender<SpanData>>>,
    scope: InstrumentationScope,
    dropped: Arc<AtomicU64>,
    finished: Arc<(Mutex<bool>, Condvar)>,
}

// === impl Exporter ===
impl Exporter {
    /// Starts the thread. The endpoint is `http://host:port/v1/traces`; a collector that is not there loses spans only.
    pub fn start(traces: &Traces, pop: &str, dropped: Arc<AtomicU64>) -> Result<Self, ObserveError> {
        let refused = |reason: String| ObserveError::Traces { endpoint: traces.endpoint.clone(), reason };
        if !traces.endpoint.starts_with("http://") {
            return Err(refused("must begin with http://: put a local collector in front of a remote one".to_owned()));
        }
        let mut otlp = Otlp::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&traces.endpoint)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        otlp.set_resource(
            &Resource::builder()
                .with_service_name("rimward")
                .with_attributes([
                    KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                    KeyValue::new("service.instance.id", pop.to_owned()),
                ])
                .build(),
        );
        let thread = |source| ObserveError::Thread { name: "traces", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(thread)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let finished = Arc::new((Mutex::new(false), Condvar::new()));
        let (lost, done) = (dropped.clone(), finished.clone());
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(export(receiver, otlp, &lost));
                *done.0.lock() = true;
                done.1.notify_all();
            })
            .map_err(thread)?;
        Ok(Exporter {
            percent: traces.sample_percent,
            spans: Mutex::new(Some(sender)),
            scope: InstrumentationScope::builder("rimward").with_version(env!("CARGO_PKG_VERSION")).build(),
            dropped,
            finished,
        })
    }

    /// Share of requests to sample.
    pub fn percent(&self) -> u8 {
        self.percent
    }

    /// Queues the request's span, and one for its visit to the origin.
    pub fn send(&self, record: &Record<'_>, context: &TraceContext) {
        let spans = self.spans.lock();
        let Some(sender) = spans.as_ref() else { return };
        let origin = record.origin.as_ref().map(|visit| client_span(record, visit, context, &self.scope));
        for span in [Some(server_span(record, context, &self.scope)), origin].into_iter().flatten() {
            if sender.try_send(span).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Exports what is queued and ends the thread; gives up after `limit`.
    pub fn close(&self, limit: Duration) {
        self.spans.lock().take();
        let (finished, changed) = &*self.finished;
        let mut finished = finished.lock();
        if !*finished && changed.wait_for(&mut finished, limit).timed_out() {
            log::warn!("traces: the collector did not take the last spans in {limit:?}");
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("percent", &self.percent).finish_non_exhaustive()
    }
}

/// The exporting thread: until every sender is gone.
async fn export(mut spans: mpsc::Receiver<SpanData>, otlp: Otlp, dropped: &AtomicU64) {
    let mut healthy = true;
    while let Some(first) = spans.recv().await {
        let mut batch = vec![first];
        let full = async {
            while batch.len() < BATCH {
                match spans.recv().await {
                    Some(span) => batch.push(span),
                    None => break,
                }
            }
        };
        // Whether it is full or late, it goes.
        let _late = tokio::time::timeout(DELAY, full).await;
        let lost = batch.len() as u64;
        let result = otlp.export(batch).await;
        if let Err(error) = &result {
            dropped.fetch_add(lost, Ordering::Relaxed);
            if healthy {
                log::warn!("traces: {error}: spans are dropped until the collector answers again");
            }
        }
        healthy = result.is_ok();
    }
}

/// Names and attributes follow OpenTelemetry's semantic conventions for HTTP spans.
fn server_span(record: &Record<'_>, context: &TraceContext, scope: &InstrumentationScope) -> SpanData {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut attributes = vec![
        KeyValue::new("http.request.method", record.method.to_owned()),
        KeyValue::new("url.scheme", record.scheme.to_owned()),
        KeyValue::new("url.path", text(record.path)),
        KeyValue::new("server.address", record.host.to_owned()),
        KeyValue::new("client.address", record.viewer.ip().to_string()),
        KeyValue::new("network.protocol.version", record.protocol.trim_start_matches("HTTP/").to_owned()),
        KeyValue::new("http.response.status_code", i64::from(record.status)),
        KeyValue::new("http.route", record.pattern.to_owned()),
        KeyValue::new("user_agent.original", text(record.user_agent)),
        KeyValue::new("rimward.request_id", record.request_id.to_owned()),
        KeyValue::new("rimward.behavior", record.behavior.name().to_owned()),
        KeyValue::new("rimward.cache", record.cache.as_str()),
        KeyValue::new("rimward.cache_reason", record.reason.to_owned()),
    ];
    if let Some(failure) = record.failure {
        attributes.push(KeyValue::new("error.type", failure.as_str()));
    }
    let failed = record.status >= 500 || record.status == 0;
    SpanData {
        span_context: span_context(context, context.server),
        parent_span_id: context.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: context.parent.is_some(),
        span_kind: SpanKind::Server,
        name: format!("{} {}", record.method, record.pattern).into(),
        attributes,
        status: if failed { Status::error(record.error.to_owned()) } else { Status::Unset },
        ..span(record.started_ms, 0, record.duration_ns, scope)
    }
}

fn client_span(
    record: &Record<'_>,
    visit: &Visit<'_>,
    context: &TraceContext,
    scope: &InstrumentationScope,
) -> SpanData {
    let mut attributes = vec![
        KeyValue::new("http.request.method", record.method.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(visit.status)),
        KeyValue::new("rimward.origin", visit.origin.name().to_owned()),
        KeyValue::new("http.request.resend_count", i64::from(visit.attempts.saturating_sub(1))),
    ];
    if let Some(target) = visit.target {
        attributes.push(KeyValue::new("network.peer.address", target.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(target.port())));
    }
    SpanData {
        span_context: span_context(context, context.client),
        parent_span_id: SpanId::from_bytes(context.server),
        span_kind: SpanKind::Client,
        name: record.method.to_owned().into(),
        attributes,
        status: if visit.status == 0 { Status::error(record.error.to_owned()) } else { Status::Unset },
        ..span(record.started_ms, visit.after_ns, visit.total_ns, scope)
    }
}

fn span_context(context: &TraceContext, span: [u8; 8]) -> SpanContext {
    let trace = TraceId::from_bytes(context.trace);
    SpanContext::new(trace, SpanId::from_bytes(span), TraceFlags::SAMPLED, false, TraceState::default())
}

fn span(started_ms: u64, before_ns: u64, duration_ns: u64, scope: &InstrumentationScope) -> SpanData {
    let start_time = SystemTime::UNIX_EPOCH + Duration::from_millis(started_ms) + Duration::from_nanos(before_ns);
    SpanData {
        span_context: SpanContext::empty_context(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time,
        end_time: start_time + Duration::from_nanos(duration_ns),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;
    use crate::observe::record::{Outcome, sample};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(30);

    fn traces(address: &str) -> Traces {
        Traces { endpoint: format!("http://{address}/v1/traces"), sample_percent: 100 }
    }

    /// Answers one request with `status` and hands back its head and body.
    fn collect_one(listener: &TcpListener, status: &str) -> (String, Vec<u8>) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk).unwrap();
            assert!(read > 0, "the exporter hung up");
            got.extend_from_slice(&chunk[..read]);
            let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(got[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>();
            let body = &got[end + 4..];
            if body.len() == length.unwrap() {
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                return (head, body.to_vec());
            }
        }
    }

    fn contains(body: &[u8], part: &[u8]) -> bool {
        body.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_request_and_its_visit_reach_the_collector() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = traces(&listener.local_addr().unwrap().to_string());
        let collector = std::thread::spawn(move || collect_one(&listener, "200 OK"));
        let dropped = Arc::new(AtomicU64::new(0));
        let exporter = Exporter::start(&config, "FRA", dropped.clone()).unwrap();
        let metrics = Metrics::new("FRA", 0);
        let origins = metrics.origins(["backend"]);
        let visit = Visit {
            origin: &origins[0],
            target: None,
            after_ns: 10,
            connect_ns: None,
            first_byte_ns: Some(5),
            total_ns: 9,
            attempts: 1,
            status: 200,
        };
        let context =
            TraceContext { trace: [0xab; 16], parent: Some([9; 8]), server: [7; 8], client: [8; 8], sampled: true };
        let record = Record { cache: Outcome::Miss, origin: Some(visit), ..sample(metrics.unrouted()) };
        exporter.send(&record, &context);
        exporter.close(LIMIT);
        let (head, body) = collector.join().unwrap();
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        for part in [&[0xab; 16][..], &[7; 8], &[8; 8], &[9; 8], b"rimward.cache", b"miss", b"backend", b"service.name"]
        {
            assert!(contains(&body, part), "{}", String::from_utf8_lossy(part));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn spans_a_collector_refuses_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = traces(&listener.local_addr().unwrap().to_string());
        let collector = std::thread::spawn(move || collect_one(&listener, "400 Bad Request"));
        let dropped = Arc::new(AtomicU64::new(0));
        let exporter = Exporter::start(&config, "FRA", dropped.clone()).unwrap();
        let metrics = Metrics::new("FRA", 0);
        let context = TraceContext { trace: [1; 16], parent: None, server: [7; 8], client: [8; 8], sampled: true };
        exporter.send(&sample(metrics.unrouted()), &context);
        exporter.close(LIMIT);
        collector.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_endpoint_we_cannot_speak_to_is_refused_at_start() {
        let config = Traces { endpoint: "https://collector.example/v1/traces".into(), sample_percent: 1 };
        let error = Exporter::start(&config, "FRA", Arc::default()).unwrap_err();
        assert!(error.to_string().contains("http://"), "{error}");
    }
}
