//! Log: one line a request.
//!
//! In: finished requests. Out: lines in the configured format, in the configured sink. Never: waits for the sink.

pub mod cloudfront;
mod digits;
pub mod json;
mod sink;
pub mod writer;

use super::{ObserveError, Record};
use crate::config::compiled::{self, LogFormat};
use cloudfront::Whence;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use writer::Writer;

/// The open access log.
pub struct AccessLog {
    format: LogFormat,
    sample_percent: u8,
    pop: String,
    writer: Writer,
    places: OnceLock<Places>,
}

/// Where an address is; asked for every line of the real-time format alone, the only one with such columns.
pub type Places = Box<dyn Fn(IpAddr) -> Whence + Send + Sync>;

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("format", &self.format).field("writer", &self.writer).finish_non_exhaustive()
    }
}

// === impl AccessLog ===
impl AccessLog {
    /// Opens the sink and starts the writer thread. Lines lost are added to `dropped`.
    pub fn open(config: &compiled::AccessLog, pop: &str, dropped: Arc<AtomicU64>) -> Result<Self, ObserveError> {
        let header = match config.format {
            LogFormat::Json => "",
            LogFormat::CloudfrontStandard => cloudfront::STANDARD_HEADER,
            LogFormat::CloudfrontRealtime => cloudfront::REALTIME_HEADER,
        };
        let writer = Writer::start(&config.to, header, config.queue, dropped)?;
        let (format, sample_percent) = (config.format, config.sample_percent);
        Ok(AccessLog { format, sample_percent, pop: pop.to_owned(), writer, places: OnceLock::new() })
    }

    /// Says where addresses are. The first to say it counts.
    pub fn look_up(&self, places: Places) {
        let _ = self.places.set(places);
    }

    /// Writes the request's line, if it is sampled or went wrong.
    pub fn write(&self, record: &Record<'_>) {
        let share = if record.is_error() { 100 } else { self.sample_percent };
        self.writer.line(share, |out| match self.format {
            LogFormat::Json => json::write(out, record, &self.pop),
            LogFormat::CloudfrontStandard => cloudfront::write_standard(out, record, &self.pop),
            LogFormat::CloudfrontRealtime => {
                let whence = self.places.get().map(|places| places(record.viewer.ip())).unwrap_or_default();
                cloudfront::write_realtime(out, record, &self.pop, whence);
            }
        });
    }

    /// Opens the file again, after a rotation.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Writes out what is waiting, for at most `limit`.
    pub fn close(&self, limit: Duration) {
        self.writer.close(limit);
    }
}
