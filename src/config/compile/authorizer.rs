//! Authorizer: `[[authorizer]]` becomes a function to ask, and what to ask it by.
//!
//! In: schema; functions and origins by name. Out: compiled. Never: a function called.

use super::access::{resource, source};
use super::function::Known;
use super::{Checked, Report, all};
use crate::config::compiled::{
    Asks, Authorizer, AuthorizerKind, Function, IdentitySource, Invoke, Origin, OriginKind, TokenPattern,
};
use crate::config::schema;
use crate::config::source::At;

/// Who may be asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub known: &'a Known,
    pub functions: &'a [Function],
    pub origins: &'a [Origin],
}

pub(super) fn authorizer(
    at: &At,
    written: schema::Authorizer,
    asked: Asked<'_>,
    report: &mut Report<'_>,
) -> Checked<Authorizer> {
    let asks = asks(at, &written, asked, report);
    let sources = at.key("identity");
    let each = written.identity.iter().enumerate().map(|(i, text)| source(&sources.index(i), text, report));
    let identity = all(each.collect::<Vec<_>>());
    let kind = match written.kind {
        schema::AuthorizerKind::Token => AuthorizerKind::Token,
        schema::AuthorizerKind::Request => AuthorizerKind::Request1,
        schema::AuthorizerKind::Request2 => AuthorizerKind::Request2,
    };
    if let Ok(identity) = &identity {
        if kind == AuthorizerKind::Token && !matches!(identity[..], [IdentitySource::Header(_)]) {
            report.refuse(&sources, "a token authorizer has one source: a header");
        } else if identity.is_empty() && !written.ttl.get().is_zero() {
            report.refuse_with(&sources, "answers are kept by nothing", "name a source, or write ttl = \"0s\"");
        }
    }
    let validate = written.validate.as_ref().map(|text| {
        let at = at.key("validate");
        if kind != AuthorizerKind::Token {
            return Err(report.refuse(&at, "only a token authorizer's source is matched: kind = \"token\""));
        }
        TokenPattern::parse(text).map_err(|why| report.refuse(&at, format!("'{text}' is no regular expression: {why}")))
    });
    let validate = validate.transpose();
    let entries = report.positive(&at.key("entries"), written.entries);
    let resource = resource(&at.key("resource"), written.resource, &["stage", "method", "path"], report);
    Ok(Authorizer {
        name: written.name,
        asks: asks?,
        kind,
        identity: identity?,
        validate: validate?,
        ttl: written.ttl.get(),
        entries: entries?,
        resource: resource?,
    })
}

/// The function that decides: of this PoP, or of a Lambda origin.
fn asks(at: &At, written: &schema::Authorizer, asked: Asked<'_>, report: &mut Report<'_>) -> Checked<Asks> {
    let Asked { known, functions, origins } = asked;
    match (&written.function, &written.lambda) {
        (Some(name), None) => {
            let id = known.function(&at.key("function"), name, report)?;
            let (cpu, timeout) = functions.get(id).map_or_else(Default::default, |one| (one.cpu, one.timeout));
            Ok(Asks::Function { id, cpu, timeout })
        }
        (None, Some(name)) => {
            let at = at.key("lambda");
            let known = || origins.iter().filter(|origin| matches!(origin.kind, OriginKind::Lambda(_)));
            match origins.iter().find(|origin| origin.name == *name).map(|origin| &origin.kind) {
                Some(OriginKind::Lambda(lambda)) if lambda.invoke == Invoke::Buffered => {
                    Ok(Asks::Lambda(lambda.clone()))
                }
                Some(OriginKind::Lambda(_)) => {
                    Err(report.refuse(&at, "an authorizer's function is waited for: invoke = \"buffered\""))
                }
                _ => Err(report.unknown(&at, "Lambda origin", name, known().map(|origin| origin.name.as_str()))),
            }
        }
        (Some(_), Some(_)) => {
            Err(report.refuse(&at.key("lambda"), "'function' and 'lambda' say the same: write one of them"))
        }
        (None, None) => Err(report.refuse_with(
            at,
            format!("authorizer '{}' asks nobody", written.name),
            "add function = \"name of a [[function]]\" or lambda = \"name of an [[origin]] with lambda\"",
        )),
    }
}
