//! Observer: where a finished request is told to everyone who wants to know.
//!
//! In: a [`Record`]. Out: counts, a log line, spans. Never: waits; what cannot be kept is dropped and counted.

use super::log::{AccessLog, Places};
use super::recent::Recent;
use super::trace::export::Exporter;
use super::trace::{self, TraceContext};
use super::{Metrics, ObserveError, Record};
use crate::config::compiled::Observe;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// One per process. A reload that changes `observe` takes effect at the next start, except names of behaviors and origins.
#[derive(Debug)]
pub struct Observer {
    metrics: Arc<Metrics>,
    log: Option<AccessLog>,
    traces: Option<Exporter>,
    recent: Arc<Recent>,
}

// === impl Observer ===
impl Observer {
    /// Opens the access log and starts the threads behind log and traces, those that are configured.
    pub fn start(observe: &Observe, pop: &str) -> Result<Self, ObserveError> {
        let metrics = Arc::new(Metrics::new(pop, observe.metric_hosts));
        let log = match &observe.access_log {
            Some(config) => Some(AccessLog::open(config, pop, metrics.log_dropped().clone())?),
            None => None,
        };
        let traces = match &observe.traces {
            Some(config) => Some(Exporter::start(config, pop, metrics.spans_dropped().clone())?),
            None => None,
        };
        let recent = Arc::new(Recent::new(pop, observe.recent));
        Ok(Observer { metrics, log, traces, recent })
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Tells the log where addresses are.
    pub fn look_up(&self, places: Places) {
        if let Some(log) = &self.log {
            log.look_up(places);
        }
    }

    /// The newest requests.
    pub fn recent(&self) -> &Arc<Recent> {
        &self.recent
    }

    /// The request's trace context, given its `traceparent`; `None` when traces are off (then the field passes through).
    pub fn trace(&self, traceparent: Option<&[u8]>) -> Option<TraceContext> {
        let traces = self.traces.as_ref()?;
        Some(TraceContext::begin(traceparent.and_then(trace::parse), traces.percent(), &mut rand::rng()))
    }

    /// Counts, logs and traces one finished request. One that another node asked for has its line there.
    pub fn finish(&self, record: &Record<'_>) {
        self.metrics.finish(record);
        if let Some(log) = self.log.as_ref().filter(|_| record.asked_by.is_empty()) {
            log.write(record);
        }
        if record.asked_by.is_empty() {
            self.recent.finish(record);
        }
        if let (Some(traces), Some(context)) = (&self.traces, &record.trace)
            && context.sampled
        {
            traces.send(record, context);
        }
    }

    /// Has the writer open its file again, after a rotation.
    pub fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Reopens the log on every SIGUSR1; to be spawned on a Tokio runtime. Returns only when signals cannot be had.
    pub async fn reopen_on_signal(self: Arc<Self>) -> io::Error {
        use tokio::signal::unix::{SignalKind, signal};
        let mut signals = match signal(SignalKind::user_defined1()) {
            Ok(signals) => signals,
            Err(error) => return error,
        };
        while signals.recv().await.is_some() {
            self.reopen();
        }
        io::Error::other("the signal stream ended")
    }

    /// Writes out what is waiting, for at most `limit` each for log and traces. Blocks: to be called once, at the end.
    pub fn shutdown(&self, limit: Duration) {
        if let Some(log) = &self.log {
            log.close(limit);
        }
        if let Some(traces) = &self.traces {
            traces.close(limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compiled::{self, LogFormat, LogTarget, Traces};
    use crate::observe::record::sample;
    use std::path::Path;
    use std::time::Instant;

    const LIMIT: Duration = Duration::from_secs(30);

    fn observe(log: &Path, format: LogFormat, sample_percent: u8) -> Observe {
        let access_log =
            compiled::AccessLog { format, to: LogTarget::File(log.to_owned()), queue: 1000, sample_percent };
        Observe {
            access_log: Some(access_log),
            level: log::LevelFilter::Info,
            traces: None,
            metric_hosts: 10,
            recent: 8,
        }
    }

    #[test]
    fn one_record_is_a_count_and_a_line() {
        let dir = tempfile::tempdir().unwrap();
        for (format, lines, says) in [
            (LogFormat::Json, 1, "\"cache\":\"hit\""),
            (LogFormat::CloudfrontStandard, 3, "\tHit\t"),
            (LogFormat::CloudfrontRealtime, 3, "\tHit\t"),
        ] {
            let path = dir.path().join(format!("{format:?}"));
            let observer = Observer::start(&observe(&path, format, 100), "FRA").unwrap();
            observer.finish(&sample(observer.metrics().unrouted()));
            observer.shutdown(LIMIT);
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.contains(says) && text.lines().count() == lines, "{text}");
            assert!(observer.metrics().render().contains("cache=\"hit\",status_class=\"2xx\"} 1"));
        }
    }

    #[test]
    fn errors_are_logged_whatever_the_sampling() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let observer = Observer::start(&observe(&path, LogFormat::Json, 0), "FRA").unwrap();
        observer.finish(&sample(observer.metrics().unrouted()));
        observer.finish(&Record { status: 502, ..sample(observer.metrics().unrouted()) });
        observer.shutdown(LIMIT);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("\"status\":502") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn a_trace_context_only_when_traces_are_on() {
        let mut config =
            Observe { access_log: None, level: log::LevelFilter::Info, traces: None, metric_hosts: 0, recent: 0 };
        let parent = Some(&b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"[..]);
        assert_eq!(Observer::start(&config, "FRA").unwrap().trace(parent), None);
        config.traces = Some(Traces { endpoint: "http://127.0.0.1:9/v1/traces".into(), sample_percent: 0 });
        let context = Observer::start(&config, "FRA").unwrap().trace(parent).unwrap();
        assert_eq!((context.trace[0], context.sampled), (0x4b, false));
    }

    #[test]
    fn sigusr1_reopens_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let observer = Arc::new(Observer::start(&observe(&path, LogFormat::Json, 100), "FRA").unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reopened = async {
            // Until this handler stands, the signal would end the process.
            let _stands = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1()).unwrap();
            tokio::spawn(observer.clone().reopen_on_signal());
            tokio::task::yield_now().await;
            std::fs::rename(&path, dir.path().join("access.log.1")).unwrap();
            let kill = std::process::Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status();
            assert!(kill.unwrap().success());
            let deadline = Instant::now() + LIMIT;
            while !path.exists() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            path.exists()
        };
        assert!(runtime.block_on(reopened));
    }
}
