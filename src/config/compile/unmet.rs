//! Unmet: rules that are legal, and do not do what they seem to.
//!
//! In: the compiled configuration. Out: warnings, or refusals of what can only be a mistake. Never: a guess; what depends on a request is left alone.

use super::Report;
use super::access::anchors;
use crate::config::compiled::{Behavior, CertificateRule, ClientAuth, Config, Per, Rule, Tier, UsagePlan};
use crate::config::source::At;

/// The public keys of the authorities that listeners trust. What cannot be read is refused elsewhere.
fn authorities(config: &Config) -> Vec<Vec<u8>> {
    let files = config.listeners.iter().filter_map(|listener| match &listener.tls.as_ref()?.client_auth {
        ClientAuth::None => None,
        ClientAuth::Optional { ca } | ClientAuth::Required { ca } => Some(ca),
    });
    files.filter_map(|file| anchors(&std::fs::read(file).ok()?).ok()).flatten().collect()
}

/// Rules that no request can meet, or that mean less than they seem to.
pub(super) fn warn(config: &Config, report: &mut Report<'_>) {
    for (position, origin) in config.origins.iter().enumerate() {
        if origin.tier != Tier::default() && config.fleet.peers.is_empty() {
            let at = At::default().key("origin").index(position);
            report.warn(
                &at,
                format!("'{}' is to be asked for through other nodes, and there is no `fleet.peer`", origin.name),
            );
        }
    }
    granted_nothing(config, report);
    counted_apart(config, report);
    shared_by_one(config, report);
    let certificates = config
        .listeners
        .iter()
        .any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.client_auth != ClientAuth::None));
    let authorities = authorities(config);
    for (position, behavior) in config.behaviors.iter().enumerate() {
        nobody_named(position, behavior, report);
        let Some(rule) = &behavior.access else { continue };
        let at = At::default().key("behavior").index(position).key("access");
        if !certificates && rule.any(&|rule| matches!(rule, Rule::Certificate(_))) {
            report.warn(&at, format!("'{}' wants client certificates, and no listener asks for one", behavior.name));
        }
        let strange = |rule: &Rule| match rule {
            Rule::Certificate(CertificateRule { from: Some(from), .. }) => {
                !from.iter().any(|key| authorities.contains(key))
            }
            _ => false,
        };
        if certificates && rule.any(&strange) {
            let message =
                format!("'{}' wants certificates of authorities that no listener's `client_ca` has", behavior.name);
            report.warn(&at, message);
        }
        if config.geo.is_empty() && rule.any(&|rule| matches!(rule, Rule::Country(_))) {
            let help = "write [geo] databases = [\"file.mmdb\"]; geo/fetch.sh fetches a free one";
            let message = format!("'{}' asks for countries, and `geo.databases` names no database", behavior.name);
            report.refuse_with(&at, message, help);
        }
        if !rule.keys_are_given(false) {
            let message =
                format!("'{}' wants the API key of an authorizer, and no authorizer gives one", behavior.name);
            let help =
                "write { all = [{ authorizer = \"name\" }, \"authorizer_key\"] }; \"api_key\" looks at x-api-key";
            report.refuse_with(&at, message, help);
        }
        let opens = |plan: &UsagePlan| plan.stages.is_empty() || plan.stages.contains(&behavior.stage);
        if !config.rates.plans.is_empty() && !config.rates.plans.iter().any(opens) && takes_key(rule) {
            let stage = match behavior.stage.as_str() {
                "" => "has no stage, and every usage plan names those that it opens".to_owned(),
                stage => format!("is of the stage '{stage}', which no usage plan opens"),
            };
            report.warn(&at, format!("'{}' {stage}: no API key lets anybody in", behavior.name));
        }
        if behavior.cache.enabled && !behavior.per_principal && rule.names_principal() {
            let shown = behavior.identity.header.is_some() || !behavior.identity.claims.is_empty();
            if shown {
                report.warn(
                    &at,
                    format!("'{}' shares its answers, and the origin is told who asks for them", behavior.name),
                );
            }
        }
    }
}

/// Functions that may look addresses up, where nothing knows any.
fn granted_nothing(config: &Config, report: &mut Report<'_>) {
    if !config.geo.is_empty() {
        return;
    }
    for (position, function) in config.functions.iter().enumerate().filter(|(_, function)| function.grants.geo) {
        let at = At::default().key("function").index(position).key("grants").key("geo");
        let message =
            format!("'{}' may look addresses up, and `geo.databases` names no database: it finds none", function.name);
        report.warn(&at, message);
    }
}

/// Quotas of keys that travel to all nodes, where nobody said whether they are counted there together.
fn counted_apart(config: &Config, report: &mut Report<'_>) {
    if config.fleet.bus.is_none() {
        return;
    }
    for (position, plan) in config.rates.plans.iter().enumerate() {
        let at = At::default().key("usage_plan").index(position);
        if plan.quota.is_some_and(|quota| !quota.shared) && !report.written(&at.key("shared")) {
            let message = format!(
                "each node counts the quota of '{}' for itself, and keys are good at all of them: write shared = true to count \
                 together, or shared = false",
                plan.name
            );
            report.warn(&at.key("quota"), message);
        }
    }
}

/// What is to be counted together with nodes that there are not.
fn shared_by_one(config: &Config, report: &mut Report<'_>) {
    if config.fleet.bus.is_some() {
        return;
    }
    let behaviors = config.behaviors.iter().enumerate().flat_map(|(position, behavior)| {
        let at = At::default().key("behavior").index(position).key("limit");
        let limits = behavior.limits.iter().enumerate();
        limits
            .filter(|(_, limit)| limit.shared)
            .map(move |(i, limit)| (at.index(i), format!("the limit '{}'", limit.name)))
    });
    let plans = config.rates.plans.iter().enumerate().filter(|(_, plan)| plan.quota.is_some_and(|quota| quota.shared));
    let plans = plans.map(|(position, plan)| {
        (At::default().key("usage_plan").index(position).key("shared"), format!("the quota of '{}'", plan.name))
    });
    for (at, what) in behaviors.chain(plans) {
        report.warn(
            &at,
            format!(
                "{what} is to be counted by all nodes together, and there is no `fleet.bus`: this one counts alone"
            ),
        );
    }
}

/// Whether an API key may let somebody in; in a `none` it keeps out.
fn takes_key(rule: &Rule) -> bool {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => rules.iter().any(takes_key),
        rule => matches!(rule, Rule::ApiKey | Rule::AuthorizerKey),
    }
}

/// What goes by who asks, where no rule finds that out.
fn nobody_named(position: usize, behavior: &Behavior, report: &mut Report<'_>) {
    let at = At::default().key("behavior").index(position);
    let rule = behavior.access.as_ref();
    let named = rule.is_some_and(Rule::names_principal);
    let claims = rule.is_some_and(Rule::gives_claims);
    let why = match rule {
        None => "there is no `access`",
        Some(_) if !named => "no rule of `access` finds that out",
        Some(_) => "only tokens and authorizers have claims, and `access` asks for neither",
    };
    let no_key = match rule {
        None => why,
        Some(_) => "no rule of `access` lets one in",
    };
    for (i, limit) in behavior.limits.iter().enumerate() {
        let (goes_by, why) = match &limit.per {
            Per::Principal if !named => ("who asks".to_owned(), why),
            Per::Claim(claim) if !claims => (format!("the claim '{claim}'"), why),
            Per::ApiKey if !rule.is_some_and(takes_key) => ("the API key".to_owned(), no_key),
            _ => continue,
        };
        let message = format!("a limit of '{}' goes by {goes_by}, and {why}: all share one count", behavior.name);
        report.warn(&at.key("limit").index(i), message);
    }
    let identity = &behavior.identity;
    if identity.header.is_some() && !named {
        let message = format!("'{}' is to say who asks, and {why}: the header is never there", behavior.name);
        report.warn(&at.key("identity").key("header"), message);
    }
}
