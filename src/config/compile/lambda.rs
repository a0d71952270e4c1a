//! Lambda: `[local_lambda]` and `[[lambda]]` become functions that can be run.
//!
//! In: schema. Out: compiled, secrets read, code found and watched. Never: a process, a package opened.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::access::Guards;
use super::integration::credentials;
use super::{Checked, Report, all};
use crate::config::compiled::{
    LAMBDA_ENVIRONMENT, LAMBDA_MEMORY, LambdaEvents, LambdaFunction, LambdaLimits, LambdaRuntime, LocalLambda,
    lambda_name, lambda_variable,
};
use crate::config::event_pattern::EventPattern;
use crate::config::schema;
use crate::config::secret::Secret;
use crate::config::source::At;

/// What "provided" runtimes are called with when nothing is said.
const BOOTSTRAP: &str = "bootstrap";

/// What a call that was accepted for later may have (Lambda API reference, "PutFunctionEventInvokeConfig").
const RETRIES_MAX: u32 = 2;
const EVENT_AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(21_600);

/// What an event source mapping may have (Lambda API reference, "CreateEventSourceMapping").
const BATCH: RangeInclusive<usize> = 1..=10_000;
/// Calls of one shard at once (Lambda API reference: ParallelizationFactor).
const PARALLEL: RangeInclusive<usize> = 1..=10;
const WINDOW_MAX: Duration = Duration::from_secs(300);
const RECORD_RETRIES_MAX: u32 = 10_000;
const RECORD_AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(604_800);

/// `None`: nothing of it is written.
pub(super) fn local(
    written: Option<schema::LocalLambda>,
    functions: Vec<schema::Lambda>,
    tables: bool,
    guards: &Guards,
    report: &mut Report<'_>,
) -> Checked<Option<LocalLambda>> {
    if written.is_none() && functions.is_empty() {
        return Ok(None);
    }
    let at = At::default().key("local_lambda");
    let written = written.unwrap_or_default();
    let access = written.access.as_ref().map(|name| guards.signer(&at.key("access"), name, report)).transpose();
    let listen = written.listen.as_ref().map(|text| listen(&at, text, written.access.is_some(), report)).transpose();
    if written.region.is_empty() || !written.region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        report.refuse(&at.key("region"), format!("'{}' is no region", written.region));
    }
    if written.account.len() != 12 || !written.account.bytes().all(|b| b.is_ascii_digit()) {
        report.refuse(&at.key("account"), "an account is 12 digits");
    }
    let concurrency = report.positive(&at.key("concurrency"), written.concurrency);
    let idle = report.positive(&at.key("idle"), written.idle.get());
    let endpoints = written.endpoints.iter().map(|(service, url)| {
        let at = at.key("endpoints").key(service);
        if !service.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Err(report.refuse(&at, format!("'{service}' is no service, like \"dynamodb\"")));
        }
        match web(url) {
            true => Ok((service.clone(), url.clone())),
            false => Err(report.refuse(&at, format!("'{url}' is no URL, like \"http://127.0.0.1:8000\""))),
        }
    });
    let endpoints = all(endpoints.collect::<Vec<_>>());
    let credentials =
        written.credentials.as_ref().map(|own| credentials(&at.key("credentials"), own, report)).transpose();
    let limits = limits(&at.key("limits"), &written.limits, report);
    for (key, program) in [("python", &written.python), ("node", &written.node)] {
        if program.is_empty() || program.contains('\0') {
            report.refuse(&at.key(key), "names a program");
        }
    }
    let limits = limits?;
    let functions =
        all_functions(functions, &limits, concurrency.as_ref().map_or(usize::MAX, |most| *most), tables, report);
    Ok(Some(LocalLambda {
        listen: listen?,
        access: access?,
        api: written.api,
        region: written.region,
        account: written.account,
        concurrency: concurrency?,
        freeze: written.freeze,
        idle: idle?,
        endpoints: endpoints?,
        credentials: credentials?,
        python: program(&at.key("python"), &written.python, report),
        node: program(&at.key("node"), &written.node, report),
        limits,
        functions: functions?,
    }))
}

fn web(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty()) && url.parse::<http::Uri>().is_ok()
}

/// A name is looked up in PATH; a path starts at the configuration, like every other.
fn program(at: &At, written: &str, report: &Report<'_>) -> String {
    match written.contains('/') {
        true => report.path(at, written).to_string_lossy().into_owned(),
        false => written.to_owned(),
    }
}

fn listen(at: &At, text: &str, access: bool, report: &mut Report<'_>) -> Checked<SocketAddr> {
    let at = at.key("listen");
    match text.parse::<SocketAddr>() {
        Ok(address) if !access && !address.ip().is_loopback() => Err(report.refuse_with(
            &at,
            "whoever can reach this address could run code here",
            "write `access` with the name of a [[sigv4]], or a loopback address",
        )),
        Ok(address) => Ok(address),
        Err(_) => Err(report.refuse(&at, format!("'{text}' is no address, like \"127.0.0.1:9001\""))),
    }
}

fn limits(at: &At, written: &schema::LambdaLimits, report: &mut Report<'_>) -> Checked<LambdaLimits> {
    let timeout = report.positive(&at.key("timeout"), written.timeout.get());
    let init = report.positive(&at.key("init"), written.init.get());
    let memory = u32::try_from(written.memory.get() >> 20).ok().filter(|memory| *memory >= LAMBDA_MEMORY);
    let memory = memory.ok_or_else(|| report.refuse(&at.key("memory"), "is 128MiB or more"));
    let mut bytes = |key: &str, size: u64| report.positive(&at.key(key), size);
    let sizes = [
        bytes("payload", written.payload.get()),
        bytes("event", written.event.get()),
        bytes("stream", written.stream.get()),
        bytes("package", written.package.get()),
        bytes("unpacked", written.unpacked.get()),
        bytes("queue_size", written.queue_size.get()),
    ];
    let queue = report.positive(&at.key("queue"), written.queue);
    let [payload, event, stream, package, unpacked, queue_size] = sizes;
    let whole = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    Ok(LambdaLimits {
        timeout: timeout?,
        memory: memory?,
        init: init?,
        payload: whole(payload?),
        event: whole(event?),
        stream: stream?,
        package: package?,
        unpacked: unpacked?,
        queue: queue?,
        queue_size: queue_size?,
    })
}

fn all_functions(
    written: Vec<schema::Lambda>,
    limits: &LambdaLimits,
    account: usize,
    tables: bool,
    report: &mut Report<'_>,
) -> Checked<Vec<LambdaFunction>> {
    let mut taken = HashSet::new();
    let mut kept = 0usize;
    let each = written.into_iter().enumerate().map(|(i, one)| {
        let at = At::default().key("lambda").index(i);
        if !lambda_name(&one.name) {
            let message = format!("'{}' is no name: 1 to 64 of letters, digits, '-' and '_'", one.name);
            report.refuse(&at.key("name"), message);
        } else if !taken.insert(one.name.clone()) {
            report.refuse(&at.key("name"), format!("the name '{}' is taken", one.name));
        }
        kept = kept.saturating_add(one.concurrency.unwrap_or(0));
        if kept > account {
            let message = format!("more calls are kept free than `local_lambda.concurrency` ({account}) allows");
            report.refuse(&at.key("concurrency"), message);
        }
        if let (false, [_, ..]) = (tables, one.events.as_slice()) {
            report.refuse(&at.key("events"), "there are no tables: write [dynamodb]");
        }
        function(&at, one, limits, report)
    });
    all(each.collect::<Vec<_>>())
}

fn function(
    at: &At,
    written: schema::Lambda,
    limits: &LambdaLimits,
    report: &mut Report<'_>,
) -> Checked<LambdaFunction> {
    let runtime = LambdaRuntime::parse(&written.runtime).ok_or_else(|| {
        let help = "like \"python3.13\", \"nodejs22.x\", \"provided.al2023\" or \"javascript\"";
        report.refuse_with(&at.key("runtime"), format!("unknown runtime '{}'", written.runtime), help)
    });
    let handler = match written.handler {
        Some(handler)
            if handler.is_empty() || handler.len() > 128 || handler.bytes().any(|b| b.is_ascii_whitespace()) =>
        {
            Err(report.refuse(&at.key("handler"), format!("'{handler}' is no handler, like \"app.handler\"")))
        }
        Some(handler) => Ok(handler),
        None if matches!(runtime, Ok(LambdaRuntime::Provided(_)) | Err(_)) => Ok(BOOTSTRAP.to_owned()),
        None => Err(report.refuse(at, format!("'{}' needs a handler, like \"app.handler\"", written.name))),
    };
    let code = report.package(&at.key("code"), &written.code);
    let timeout = match report.positive(&at.key("timeout"), written.timeout.get()) {
        Ok(timeout) if timeout > limits.timeout => {
            Err(report.refuse(&at.key("timeout"), "more than `local_lambda.limits.timeout` allows"))
        }
        timeout => timeout,
    };
    let mib = written.memory.get() >> 20;
    let memory = match u32::try_from(mib) {
        Ok(memory)
            if (LAMBDA_MEMORY..=limits.memory).contains(&memory) && written.memory.get().is_multiple_of(1 << 20) =>
        {
            Ok(memory)
        }
        _ => Err(report.refuse(&at.key("memory"), format!("memory is 128MiB to {}MiB, in whole MiB", limits.memory))),
    };
    let environment = written.environment.iter().map(|(name, value)| {
        let at = at.key("environment").key(name);
        lambda_variable(name).map_err(|why| report.refuse(&at, why))?;
        let value = report.maybe_secret(&at, &value.0)?;
        if value.expose().contains('\0') {
            return Err(report.refuse_hidden(&at, "a variable holds no NUL", "take it out"));
        }
        Ok((name.clone(), value))
    });
    let environment = all(environment.collect::<Vec<_>>()).and_then(|environment: Vec<(String, Secret<String>)>| {
        let size: usize = environment.iter().map(|(name, value)| name.len() + value.expose().len()).sum();
        match size > LAMBDA_ENVIRONMENT {
            true => {
                let message = format!("names and values have {size} bytes, {LAMBDA_ENVIRONMENT} are allowed");
                Err(report.refuse_hidden(&at.key("environment"), message, "keep larger things in a file of the code"))
            }
            false => Ok(environment),
        }
    });
    if written.command.first().is_some_and(String::is_empty) || written.command.iter().any(|word| word.contains('\0')) {
        report.refuse(&at.key("command"), "a command is a program and its arguments");
    }
    if !written.command.is_empty() && matches!(runtime, Ok(LambdaRuntime::JavaScript)) {
        report.refuse(&at.key("command"), "nothing is started for the runtime javascript");
    }
    if written.retries > RETRIES_MAX {
        report.refuse(&at.key("retries"), format!("at most {RETRIES_MAX}"));
    }
    if !EVENT_AGE.contains(&written.event_age.get()) {
        report.refuse(&at.key("event_age"), "is 1m to 6h");
    }
    told(at, written.on_failure.as_ref(), report);
    let events = all_events(&at.key("events"), written.events, report);
    Ok(LambdaFunction {
        retries: written.retries,
        event_age: written.event_age.get(),
        events: events?,
        on_failure: written.on_failure,
        name: written.name,
        runtime: runtime?,
        handler: handler?,
        code: code?,
        command: written.command,
        memory: memory?,
        timeout: timeout?,
        environment: environment?,
        concurrency: written.concurrency,
    })
}

/// Who is told is a function or an endpoint.
fn told(at: &At, to: Option<&String>, report: &mut Report<'_>) {
    if let Some(to) = to.filter(|to| !to.starts_with("arn:aws:lambda:") && !web(to)) {
        let help = "like \"arn:aws:lambda:us-east-1:000000000000:function:name\" or \"https://api.example/failed\"";
        report.refuse_with(&at.key("on_failure"), format!("'{to}' is no function's ARN and no URL"), help);
    }
}

fn all_events(at: &At, written: Vec<schema::LambdaEvents>, report: &mut Report<'_>) -> Checked<Vec<LambdaEvents>> {
    let mut taken = HashSet::new();
    let each = written.into_iter().enumerate().map(|(i, one)| {
        let at = at.index(i);
        if !taken.insert(one.table.clone()) {
            report.refuse(&at.key("table"), format!("the table '{}' is here twice", one.table));
        }
        events(&at, one, report)
    });
    all(each.collect::<Vec<_>>())
}

fn events(at: &At, written: schema::LambdaEvents, report: &mut Report<'_>) -> Checked<LambdaEvents> {
    if written.table.is_empty() {
        report.refuse(&at.key("table"), "names a table");
    }
    if !BATCH.contains(&written.batch) {
        report.refuse(&at.key("batch"), "is 1 to 10000");
    }
    if !PARALLEL.contains(&written.parallel) {
        report.refuse(&at.key("parallel"), "is 1 to 10");
    }
    if written.window.get() > WINDOW_MAX {
        report.refuse(&at.key("window"), "is at most 5m");
    }
    if written.retries.is_some_and(|retries| retries > RECORD_RETRIES_MAX) {
        report.refuse(&at.key("retries"), format!("at most {RECORD_RETRIES_MAX}"));
    }
    if written.age.is_some_and(|age| !RECORD_AGE.contains(&age.get())) {
        report.refuse(&at.key("age"), "is 1m to 7d");
    }
    told(at, written.on_failure.as_ref(), report);
    let pattern = written.filter.map(|text| {
        let at = at.key("filter");
        let text = match text.trim_start().starts_with('{') {
            true => text,
            false => {
                let (bytes, _) = report.content(&at, &text)?;
                let read = String::from_utf8(bytes.to_vec());
                read.map_err(|_| report.refuse(&at, format!("{text} is not text")))?
            }
        };
        let help = "like '{ \"eventName\": [\"INSERT\"] }'";
        EventPattern::parse(text.trim()).map_err(|why| report.refuse_with(&at, why, help))
    });
    Ok(LambdaEvents {
        table: written.table,
        batch: written.batch,
        window: written.window.get(),
        latest: written.start == schema::LambdaStart::Latest,
        patterns: pattern.transpose()?.into_iter().collect(),
        parallel: written.parallel,
        bisect: written.bisect,
        report: written.report_failures,
        retries: written.retries,
        age: written.age.map(|age| age.get()),
        on_failure: written.on_failure,
    })
}
