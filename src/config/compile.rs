//! Compile: what was written becomes what runs.
//!
//! In: the schema's structs, the places of their values. Out: `compiled::Config`, or every rule they break. Never: defaults of
//! its own for keys the schema has, unresolved names.

mod access;
mod authorizer;
mod behavior;
mod cache;
mod country;
mod dns;
mod dynamodb;
mod fields;
mod files;
mod fleet;
mod function;
mod geo;
mod image;
mod integration;
mod lambda;
mod limit;
mod listen;
mod observe;
mod origin;
mod pattern;
pub(super) mod quota;
mod response;
mod signer;
mod table;
mod target;
mod unmet;
mod zone;

use std::sync::Arc;

use super::compiled::{
    Action, Asks, Config, DynamoDb, Hooks, HostHeader, OriginId, OriginKind, Rates, Upstream, ViewerProtocol,
};
use super::diagnose::suggest;
use super::error::{Diagnostic, Errors};
use super::schema::File;
use super::source::{At, Sources};
use files::Files;
use image::Images;

/// Says that a finding was recorded: there is no value, and `compile` will not answer with a configuration.
#[derive(Debug)]
struct Refused(());

type Checked<T> = Result<T, Refused>;

/// Where findings go while everything is looked at.
struct Report<'s> {
    sources: &'s Sources,
    files: Files,
    images: Images,
    found: Vec<Diagnostic>,
    warnings: Vec<String>,
}

/// Resolves and checks `file`. Relative paths start at the text that has them.
pub fn compile(file: File, sources: &Sources) -> Result<Config, Errors> {
    let mut report =
        Report { sources, files: Files::default(), images: Images::default(), found: Vec::new(), warnings: Vec::new() };
    let config = whole(file, &mut report);
    if !report.found.is_empty() {
        return Err(Errors::of(report.found));
    }
    let wanted = report.images.wanted();
    match config {
        Ok(config) if wanted.is_empty() => Ok(config),
        _ => Err(Errors::wanting(wanted)),
    }
}

fn whole(file: File, report: &mut Report<'_>) -> Checked<Config> {
    let written = file.pop.unwrap_or_default();
    let listeners = listen::listeners(&written, file.listener, report);
    let pop = listen::pop(written, report);
    let limits = listen::limits(file.limits.unwrap_or_default(), report);
    let store = cache::store(file.cache.unwrap_or_default(), report);
    let names = origin::Names::collect(&file.origin, &file.origin_group, report);
    let groups = origin::groups(file.origin_group, &names, report);
    if let Ok(pop) = &pop {
        report.files.keep_out_of(&pop.state_dir);
    }
    let known = function::Known::collect(&file.function, &file.kv_store, report)?;
    let engine = match &pop {
        Ok(pop) => Some(function::engine(&file.functions.unwrap_or_default(), pop, report)?),
        Err(_) => None,
    };
    if let Some(engine) = &engine {
        report.registries(engine.images.clone(), file.registry);
    }
    let largest = engine.as_ref().map_or(u64::MAX, |engine| engine.memory as u64);
    let origins = origin::origins(file.origin, (&known, largest), report);
    let functions = function::functions(file.function, &known, largest, report);
    let kv_stores = function::stores(file.kv_store, report);
    let each = file.geo.unwrap_or_default().databases.into_iter().enumerate();
    let geo = all(each
        .map(|(i, path)| geo::databases(&At::default().key("geo").key("databases").index(i), &path, report))
        .collect::<Vec<_>>());
    let guards = access::Guards::collect(
        (&file.jwt, &file.sigv4, &file.key_group, &file.authorizer, &file.address_list),
        report,
    )?;
    let local_lambda = lambda::local(file.local_lambda, file.lambda, file.dynamodb.is_some(), &guards, report);
    let plans = limit::plans(&file.usage_plan, report);
    let api_keys = limit::api_keys(&file.api_key, &file.usage_plan, report);
    let rates = limit::rates(file.rates.unwrap_or_default(), report);
    let services = signer::services(&file.sigv4);
    let dynamodb = file.dynamodb.map(|one| dynamodb::dynamodb(one, &services, report)).transpose();
    let access = access::access(
        (file.jwt, file.sigv4, file.key_group, file.authorizer, file.address_list),
        authorizer::Asked {
            known: &known,
            functions: functions.as_deref().unwrap_or_default(),
            origins: origins.as_deref().unwrap_or_default(),
        },
        report,
    );
    let fleet = match &pop {
        Ok(pop) => Some(fleet::fleet(file.fleet.unwrap_or_default(), pop, report)?),
        Err(_) => None,
    };
    let node = fleet.as_ref().map(|fleet| fleet.node.clone()).unwrap_or_default();
    let names = behavior::Names { origins: &names, functions: &known, guards: &guards };
    let behaviors = match fleet.as_ref().is_some_and(|fleet| !fleet.trust.is_empty()) {
        // They come with a revision.
        true if file.behavior.is_empty() && names.origins.only().is_none() => Ok(Vec::new()),
        _ => behavior::behaviors(file.behavior, &names, limits.as_ref().map_or(u64::MAX, |l| l.body_size), report),
    };
    let dns = file.dns.map(|one| dns::dns(one, report)).transpose();
    let admin = observe::admin(file.admin, listeners.as_deref().unwrap_or_default(), &services, report);
    let observe = observe::observe(file.observe.unwrap_or_default(), report);

    let (kv_stores, kv_imports) = kv_stores?;
    let config = Config {
        pop: pop?,
        listeners: listeners?,
        limits: limits?,
        store: store?,
        origins: origins?,
        groups: groups?,
        behaviors: behaviors?,
        functions: functions?,
        engine: engine.ok_or(Refused(()))?,
        kv_stores,
        kv_imports,
        local_lambda: local_lambda?,
        access: access?,
        rates: Rates { plans: plans?, api_keys: api_keys?, ..rates? },
        dynamodb: dynamodb?.map(|one| DynamoDb { node, ..one }),
        geo: geo?.concat(),
        dns: dns?,
        fleet: fleet.ok_or(Refused(()))?,
        admin: admin?,
        observe: observe?,
        digest: report.files.digest(report.sources),
        sources: report.files.seen(),
        warnings: Vec::new(),
        covered: Vec::new(),
        texts: Arc::default(),
    };
    refuse_told_hosts(&config, report);
    quota::refuse(&config, report);
    warn_unused(&config, report);
    warn_without_tls(&config, report);
    unmet::warn(&config, report);
    warn_unsteered(&config, report);
    Ok(Config { warnings: std::mem::take(&mut report.warnings), ..config })
}

/// Hosts cannot share the answers of an origin that is told which of them was asked for.
fn refuse_told_hosts(config: &Config, report: &mut Report<'_>) {
    let told = |id: &OriginId| {
        let origin = config.origins.get(*id)?;
        let viewers = matches!(&origin.kind, OriginKind::Http(http) if http.host == HostHeader::Viewer);
        viewers.then_some(&origin.name)
    };
    for (position, behavior) in config.behaviors.iter().enumerate() {
        if !(behavior.cache.enabled && behavior.cache.key.ignore_host) {
            continue;
        }
        let name = match behavior.action {
            Action::Forward(Upstream::Origin(origin)) => told(&origin),
            Action::Forward(Upstream::Group(group)) => {
                config.groups.get(group).and_then(|group| group.members.iter().find_map(told))
            }
            Action::Redirect(_) => None,
        };
        let Some(name) = name else { continue };
        let at = At::default().key("behavior").index(position).key("cache").key("key").key("ignore_host");
        let message =
            format!("'{}' keeps one answer for all hosts, and origin '{name}' is told the viewer's", behavior.name);
        let help = format!("leave out 'key.ignore_host', or host = \"viewer\" of origin '{name}'");
        report.refuse_with(&at, message, help);
    }
}

/// An origin that no behavior reaches is most likely a forgotten rule.
fn warn_unused(config: &Config, report: &mut Report<'_>) {
    // A function may choose any origin by its name.
    let chooses = |hooks: &Hooks| !hooks.viewer_request.is_empty() || !hooks.origin_request.is_empty();
    if config.behaviors.iter().any(|behavior| chooses(&behavior.hooks)) {
        return;
    }
    let mut used = vec![false; config.origins.len()];
    let mut mark = |origin: usize| {
        if let Some(slot) = used.get_mut(origin) {
            *slot = true;
        }
    };
    for behavior in &config.behaviors {
        match behavior.action {
            Action::Forward(Upstream::Origin(origin)) => mark(origin),
            Action::Forward(Upstream::Group(group)) => {
                config.groups.get(group).into_iter().flat_map(|group| &group.members).for_each(|member| mark(*member));
            }
            Action::Redirect(_) => {}
        }
    }
    for authorizer in &config.access.authorizers {
        if let Asks::Lambda(asked) = &authorizer.asks {
            let same = |kind: &OriginKind| matches!(kind, OriginKind::Lambda(lambda) if Arc::ptr_eq(lambda, asked));
            config.origins.iter().position(|origin| same(&origin.kind)).into_iter().for_each(&mut mark);
        }
    }
    for (position, origin) in config.origins.iter().enumerate() {
        if !used.get(position).copied().unwrap_or(true) {
            let at = At::default().key("origin").index(position).key("name");
            report.warn(&at, format!("no behavior uses origin '{}'", origin.name));
        }
    }
}

/// Without TLS on any listener, https-only can only be met behind a proxy that ends TLS.
fn warn_without_tls(config: &Config, report: &mut Report<'_>) {
    if config.listeners.iter().any(|listener| listener.tls.is_some() || !listener.trusted_proxies.is_empty()) {
        return;
    }
    for (position, behavior) in config.behaviors.iter().enumerate() {
        if behavior.viewer_protocol != ViewerProtocol::AllowAll {
            let at = At::default().key("behavior").index(position).key("viewer_protocol");
            report.warn(&at, format!("'{}' wants https, and no listener speaks TLS", behavior.name));
        }
    }
}

/// Steering without PoPs to steer to, or without knowing where viewers are.
fn warn_unsteered(config: &Config, report: &mut Report<'_>) {
    for (position, behavior) in config.behaviors.iter().enumerate() {
        if behavior.response.steer && config.dns.is_none() {
            let at = At::default().key("behavior").index(position).key("response").key("steer");
            report.refuse_with(&at, "there are no PoPs to lead viewers to", "write them in [dns]");
        }
    }
    if config.geo.is_empty() && config.dns.as_ref().is_some_and(|dns| dns.nearest) {
        let at = At::default().key("dns");
        report.warn(&at, "no database says where viewers are: all are answered by weight".to_owned());
    }
}

// === impl Report ===
impl Report<'_> {
    fn refuse(&mut self, at: &At, message: impl Into<String>) -> Refused {
        self.found.push(self.sources.find(at, message.into(), None));
        Refused(())
    }

    fn refuse_with(&mut self, at: &At, message: impl Into<String>, help: impl Into<String>) -> Refused {
        self.found.push(self.sources.find(at, message.into(), Some(help.into())));
        Refused(())
    }

    /// Like `refuse_with`, for a value that must not be shown.
    fn refuse_hidden(&mut self, at: &At, message: impl Into<String>, help: impl Into<String>) -> Refused {
        self.found.push(self.sources.find_hidden(at, message.into(), Some(help.into())));
        Refused(())
    }

    /// A name that nothing has, with the nearest one that something has.
    fn unknown<'a>(&mut self, at: &At, what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Refused {
        self.found.push(self.sources.find(at, format!("unknown {what} '{name}'"), suggest(name, known)));
        Refused(())
    }

    fn warn(&mut self, at: &At, message: String) {
        let place = self.sources.find(at, message, None);
        self.warnings.push(format!("{}:{}:{}: {}", place.file, place.line, place.column, place.message));
    }

    /// Whether the operator wrote anything at `at`.
    fn written(&self, at: &At) -> bool {
        self.sources.has(at)
    }

    /// Refuses a count or time of nothing.
    fn positive<N: Default + PartialEq>(&mut self, at: &At, value: N) -> Checked<N> {
        if value == N::default() { Err(self.refuse(at, "must be more than 0")) } else { Ok(value) }
    }
}

/// All of `results`, or the fact that one of them was refused; every one was looked at.
fn all<T>(results: impl IntoIterator<Item = Checked<T>>) -> Checked<Vec<T>> {
    let results: Vec<Checked<T>> = results.into_iter().collect();
    results.into_iter().collect()
}
