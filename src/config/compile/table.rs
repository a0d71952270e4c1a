//! Table: an origin's `dynamodb` becomes a mapping.
//!
//! In: schema, template files. Out: parsed templates, patterns and field sources. Never: a template rendered, a table looked up.

use std::sync::Arc;

use http::StatusCode;

use super::{Checked, Report, all, integration, signer};
use crate::config::compiled::{
    MappedResponse, MappedValue, Mapping, Passthrough, StatusPattern, TableOperation, TableOrigin,
};
use crate::config::schema;
use crate::config::source::At;
use crate::vtl::Template;

/// Operations that change no table's shape: what a viewer's request may come to.
const ACTIONS: [&str; 12] = [
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "DescribeTable",
    "ExecuteStatement",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactGetItems",
    "TransactWriteItems",
    "UpdateItem",
];

pub(super) fn origin(at: &At, written: &[schema::TableOperation], report: &mut Report<'_>) -> Checked<TableOrigin> {
    let place = |i: usize| if written.len() == 1 { at.clone() } else { at.index(i) };
    let each = written.iter().enumerate();
    let operations = all(each.map(|(i, one)| operation(&place(i), one, report)).collect::<Vec<_>>());
    if written.len() > 1
        && let Some(without) = written.iter().position(|one| one.route.is_none())
    {
        report.refuse_with(
            &place(without).key("action"),
            "which requests is it for?",
            "add route = \"GET /todos/{id}\" to each operation",
        );
    }
    let routes: Vec<String> = written.iter().filter_map(|one| one.route.clone()).collect();
    let routes = integration::routes(&routes, |i| place(i).key("route"), report);
    Ok(TableOrigin { routes: routes?, operations: operations? })
}

fn operation(at: &At, written: &schema::TableOperation, report: &mut Report<'_>) -> Checked<TableOperation> {
    if !ACTIONS.contains(&written.action.as_str()) {
        report.unknown(&at.key("action"), "operation", &written.action, ACTIONS);
    }
    let requests = written.request.as_ref().map(|t| templates(&at.key("request"), t, "$default", report)).transpose();
    let each = written.response.iter().enumerate();
    let responses = all(each.map(|(i, one)| response(&at.key("response").index(i), one, report)).collect::<Vec<_>>());
    let policy = written.policy.as_ref().map(|path| signer::policy(&at.key("policy"), path, report)).transpose();
    let mut responses = responses?;
    if responses.is_empty() {
        let own = |pattern, status| MappedResponse { pattern, status, templates: vec![], headers: vec![] };
        let failed = |text: &str, status| StatusPattern::parse(text).ok().map(|pattern| own(Some(pattern), status));
        responses.extend(failed("4..", StatusCode::BAD_REQUEST));
        responses.extend(failed("5..", StatusCode::INTERNAL_SERVER_ERROR));
        responses.push(own(None, StatusCode::OK));
    }
    Ok(TableOperation {
        mapping: Mapping {
            action: written.action.clone(),
            requests: requests?.unwrap_or_default(),
            passthrough: match written.passthrough {
                schema::Passthrough::WhenNoMatch => Passthrough::WhenNoMatch,
                schema::Passthrough::WhenNoTemplates => Passthrough::WhenNoTemplates,
                schema::Passthrough::Never => Passthrough::Never,
            },
            responses,
        },
        stage_variables: written.stage_variables.clone().into_iter().collect(),
        policy: policy?.map(Arc::new),
    })
}

fn response(at: &At, written: &schema::TableResponse, report: &mut Report<'_>) -> Checked<MappedResponse> {
    let pattern = written.pattern.as_ref().map(|text| {
        StatusPattern::parse(text)
            .map_err(|why| report.refuse(&at.key("pattern"), format!("'{text}' is no pattern: {why}")))
    });
    let pattern = pattern.transpose();
    let status = report.status(&at.key("status"), written.status, 200, 599);
    let found = written.template.as_ref().map(|t| templates(&at.key("template"), t, "application/json", report));
    let templates = found.transpose();
    let each = written.headers.iter().map(|(name, source)| {
        let at = at.key("headers").key(name);
        let name = report.settable_name(&at, name);
        let source = MappedValue::parse(source)
            .map_err(|help| report.refuse_with(&at, format!("'{source}' names nothing"), help));
        Ok((name?, source?))
    });
    let headers = all(each.collect::<Vec<_>>());
    Ok(MappedResponse {
        pattern: pattern?,
        status: status?,
        templates: templates?.unwrap_or_default(),
        headers: headers?,
    })
}

/// One template under `every`, or one a media type.
fn templates(
    at: &At,
    written: &schema::Templates,
    every: &str,
    report: &mut Report<'_>,
) -> Checked<Vec<(String, Template)>> {
    match written {
        schema::Templates::One(text) => Ok(vec![(every.to_owned(), template(at, text, report)?)]),
        schema::Templates::Each(each) => all(each
            .iter()
            .map(|(kind, text)| Ok((kind.to_ascii_lowercase(), template(&at.key(kind), text, report)?)))
            .collect::<Vec<_>>()),
    }
}

fn template(at: &At, text: &str, report: &mut Report<'_>) -> Checked<Template> {
    let text = match text.strip_prefix("file:") {
        Some(path) => {
            let (bytes, _) = report.content(at, path)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| report.refuse(at, format!("{path} is not UTF-8 text")))?
        }
        None => text.to_owned(),
    };
    Template::parse(&text).map_err(|error| report.refuse(at, format!("the template: {error}")))
}
