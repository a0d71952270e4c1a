//! Observe: `[admin]` and `[observe]` become where the operator looks.
//!
//! In: schema. Out: compiled. Never: sockets, log files, exporters opened.

use super::listen::clash;
use super::signer::{Service, keyed};
use super::{Checked, Report};
use crate::config::compiled::{AccessLog, Admin, Listener, LogFormat, LogTarget, Observe, Traces};
use crate::config::schema::{self, Toggle};
use crate::config::source::At;

/// What clients of CloudFront's KeyValueStore sign for.
const SERVICE: &str = "cloudfront-keyvaluestore";
/// Requests kept in memory: looking for one of them walks over all.
const RECENT_MAX: usize = 100_000;

pub(super) fn admin(
    written: Option<Toggle<schema::Admin>>,
    listeners: &[Listener],
    signers: &[Service],
    report: &mut Report<'_>,
) -> Checked<Option<Admin>> {
    let at = At::default().key("admin");
    let Some(admin) = written.unwrap_or(Toggle::Switch(true)).on() else { return Ok(None) };
    let access = admin.access.map(|name| keyed(&at.key("access"), &name, SERVICE, signers, report)).transpose();
    let token = admin.token.map(|token| report.secret(&at.key("token"), &token.0)).transpose();
    let address = report.address(&at.key("address"), &admin.address)?;
    if listeners.iter().any(|listener| clash(listener.address, address)) {
        return Err(report.refuse_with(
            &at.key("address"),
            format!("viewers are served on {address}, the address of the admin API"),
            "choose another for one of them, like [admin] address = \"127.0.0.1:9902\"",
        ));
    }
    let token = token?;
    if token.is_none() && !address.ip().is_loopback() {
        return Err(report.refuse_with(
            &at.key("address"),
            "an admin address that others can reach needs a token",
            "add token = \"env:RIMWARD_ADMIN_TOKEN\", or listen on 127.0.0.1",
        ));
    }
    Ok(Some(Admin { address, token, access: access? }))
}

pub(super) fn observe(written: schema::Observe, report: &mut Report<'_>) -> Checked<Observe> {
    use schema::Level;
    let at = At::default().key("observe");
    let access_log = written.access_log.on().map(|log| access_log(&at.key("access_log"), log, report)).transpose();
    let traces = written.traces.map(|table| traces(&at.key("traces"), table, report)).transpose();
    let level = match written.level {
        Level::Off => log::LevelFilter::Off,
        Level::Error => log::LevelFilter::Error,
        Level::Warn => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Debug,
        Level::Trace => log::LevelFilter::Trace,
    };
    if written.recent > RECENT_MAX {
        return Err(report.refuse(&at.key("recent"), format!("at most {RECENT_MAX}")));
    }
    let (metric_hosts, recent) = (written.metric_hosts, written.recent);
    Ok(Observe { access_log: access_log?, level, traces: traces?, metric_hosts, recent })
}

fn access_log(at: &At, log: schema::AccessLog, report: &mut Report<'_>) -> Checked<AccessLog> {
    let format = match log.format {
        schema::LogFormat::Json => LogFormat::Json,
        schema::LogFormat::CloudfrontStandard => LogFormat::CloudfrontStandard,
        schema::LogFormat::CloudfrontRealtime => LogFormat::CloudfrontRealtime,
    };
    let to = match log.to.as_str() {
        "" => return Err(report.refuse(&at.key("to"), "write \"stdout\", \"stderr\" or a file")),
        "stdout" => LogTarget::Stdout,
        "stderr" => LogTarget::Stderr,
        path => LogTarget::File(report.path(&at.key("to"), path)),
    };
    let queue = report.positive(&at.key("queue"), log.queue)?;
    Ok(AccessLog { format, to, queue, sample_percent: log.sample_percent.get() })
}

fn traces(at: &At, traces: schema::Traces, report: &mut Report<'_>) -> Checked<Traces> {
    let uri: Option<http::Uri> = traces.endpoint.parse().ok();
    let good = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if !good {
        let message = format!("'{}' is no URL", traces.endpoint);
        return Err(report.refuse_with(&at.key("endpoint"), message, "like \"http://127.0.0.1:4318/v1/traces\""));
    }
    Ok(Traces { endpoint: traces.endpoint, sample_percent: traces.sample_percent.get() })
}
