//! Warming: what the first request would pay is paid before a configuration is in force.
//!
//! In: a snapshot that nobody uses yet, the one that it follows. Out: an instance made of each function that is new. Never: a refusal, a wait
//! without an end, a request of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Version};

use crate::config::compiled::{Function, OriginKind};
use crate::hooks::engine::Budget;
use crate::hooks::{Event, Exchange, Failure, Request, Site};

use super::functions::Set;
use super::phases::now_ms;
use super::snapshot::Snapshot;

/// How long all functions of a snapshot may take; what is cold then stays so until it is called.
const WITHIN: Duration = Duration::from_secs(2);

/// Blocks, at most for `WITHIN`.
pub fn warm(snapshot: &Snapshot, old: Option<&Set>) {
    let set = &snapshot.functions;
    let known = |new| old.is_some_and(|old| old.loaded.iter().any(|one| Arc::ptr_eq(one, new)));
    let all = snapshot.config.functions.iter().zip(&set.loaded);
    let new: Vec<_> = all.filter(|(_, loaded)| !known(*loaded)).collect();
    let webs = snapshot.config.origins.iter().filter(|origin| matches!(origin.kind, OriginKind::Function(_)));
    let webs = webs.filter_map(|origin| set.webs.get(&origin.name)).map(|(web, _)| web);
    let known = |web| old.is_some_and(|old| old.webs.values().any(|(one, _)| Arc::ptr_eq(one, web)));
    let webs: Vec<_> = webs.filter(|web| !known(web)).collect();
    if new.is_empty() && webs.is_empty() {
        return;
    }
    let work = async {
        let mut warm = 0;
        for (spec, loaded) in &new {
            let made = loaded.function.warm(nobody(snapshot, spec), budget(spec)).await;
            warm += noted(&spec.name, made);
        }
        for web in &webs {
            warm += noted(web.name(), web.warm().await);
        }
        log::info!("{warm} functions are warm");
    };
    let within = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Within the runtime: a timeout wants one where it is made.
        let late = runtime.block_on(async { tokio::time::timeout(WITHIN, work).await }).is_err();
        if late {
            log::warn!("functions are not all warm after {WITHIN:?}");
        }
        Ok::<(), std::io::Error>(())
    };
    // A runtime of its own: whoever calls may have one that must not be blocked, or none.
    match std::thread::scope(|scope| scope.spawn(within).join()) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::warn!("functions stay cold: {error}"),
        Err(_) => log::error!("functions stay cold: a panic"),
    }
}

/// 1 for one that is warm.
fn noted(name: &str, made: Result<(), Failure>) -> usize {
    match made {
        Ok(()) => 1,
        Err(failure) => {
            log::warn!("function {name} stays cold: {failure}");
            0
        }
    }
}

fn budget(spec: &Function) -> Budget {
    Budget { cpu: spec.cpu, timeout: spec.timeout.min(WITHIN), memory: spec.memory }
}

/// A request that nobody made, for a start that looks at it.
fn nobody(snapshot: &Snapshot, spec: &Function) -> Exchange {
    let pop = &snapshot.config.pop.code;
    let domain = format!("{}.rimward.invalid", pop.to_lowercase());
    let site = Site {
        pop: pop.clone(),
        behavior: String::new(),
        domain,
        distribution: format!("RIMWARD{pop}"),
        origins: Vec::new(),
        mode: spec.mode,
        include_body: false,
    };
    let request = Request {
        method: Method::GET,
        uri: "/".to_owned(),
        query: String::new(),
        has_query: false,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server_ip: None,
        who: None,
        version: Version::HTTP_11,
        tls: false,
        headers: HeaderMap::new(),
        body: None,
        origin: None,
    };
    Exchange::request(Event::ViewerRequest, &Arc::new(site), "warm", now_ms(), request)
}
