//! Tests: which template, what is sent, what comes back; API Gateway's rules by its developer guide.

use super::*;
use crate::config::compiled::StatusPattern;
use crate::vtl::RequestOverride;

fn templates(all: &[(&str, &str)]) -> Vec<(String, Template)> {
    all.iter().map(|(kind, text)| ((*kind).to_owned(), Template::parse(text).unwrap())).collect()
}

fn mapping(requests: &[(&str, &str)], passthrough: Passthrough, responses: Vec<MappedResponse>) -> Mapping {
    Mapping { action: "GetItem".to_owned(), requests: templates(requests), passthrough, responses }
}

fn response(pattern: Option<&str>, status: u16, all: &[(&str, &str)], headers: &[(&str, &str)]) -> MappedResponse {
    MappedResponse {
        pattern: pattern.map(|pattern| StatusPattern::parse(pattern).unwrap()),
        status: StatusCode::from_u16(status).unwrap(),
        templates: templates(all),
        headers: headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), MappedValue::parse(value).unwrap()))
            .collect(),
    }
}

fn fields(all: &[(&str, &str)]) -> HeaderMap {
    let each =
        all.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap()));
    each.fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}

fn context(body: &str) -> Context {
    Context {
        body: body.to_owned(),
        path: vec![("id".to_owned(), "7".to_owned())],
        context: serde_json::json!({"requestId": "r-1", "authorizer": {"claims": {"sub": "u"}}, "n": 5}),
        stage_variables: vec![("table".to_owned(), "todo".to_owned())],
        ..Context::default()
    }
}

#[test]
fn the_template_is_chosen_by_media_type() {
    use Passthrough::{Never, WhenNoMatch, WhenNoTemplates};
    let json: &[(&str, &str)] = &[("application/json", "J"), ("text/csv", "C")];
    let default: &[(&str, &str)] = &[("application/json", "J"), ("$default", "D")];
    for (requests, passthrough, kind, expected) in [
        (json, Never, None, Ok("J")),
        (json, Never, Some("application/json"), Ok("J")),
        (json, Never, Some("Application/JSON; charset=utf-8"), Ok("J")),
        (json, Never, Some("text/csv"), Ok("C")),
        (json, Never, Some("text/plain"), Err(415)),
        (json, WhenNoTemplates, Some("text/plain"), Err(415)),
        (json, WhenNoMatch, Some("text/plain"), Ok("raw")),
        (default, Never, Some("text/plain"), Ok("D")),
        (&[], Never, None, Err(415)),
        (&[], WhenNoTemplates, None, Ok("raw")),
        (&[], WhenNoMatch, Some("text/plain"), Ok("raw")),
    ] {
        let headers = kind.map(|kind| fields(&[("content-type", kind)])).unwrap_or_default();
        let made = call(&mapping(requests, passthrough, Vec::new()), &headers, &context("raw"));
        let made = made.map(|call| call.body).map_err(|refusal| refusal.parts().0.as_u16());
        assert_eq!(made.as_deref(), expected.as_ref().map(|text| &**text), "{passthrough:?} {kind:?}");
    }
}

#[test]
fn a_request_becomes_a_call() {
    let template = r##"#set($context.requestOverride.header.X-A = 'b')#set($context.responseOverride.status = 202)
{"TableName": "$stageVariables.table", "Key": {"id": {"S": "$input.params('id')"}, "sub": {"S": "$context.authorizer.claims.sub"}}}"##;
    let mapping = mapping(&[("application/json", template)], Passthrough::Never, Vec::new());
    let made = call(&mapping, &HeaderMap::new(), &context("")).unwrap();
    assert_eq!(made.operation, "GetItem");
    assert_eq!(made.body, r#"{"TableName": "todo", "Key": {"id": {"S": "7"}, "sub": {"S": "u"}}}"#);
    assert_eq!(made.overrides.response.status, Some(202));
    let header = vec![("X-A".to_owned(), "b".to_owned())];
    assert_eq!(made.overrides.request, RequestOverride { header, ..RequestOverride::default() });
}

#[test]
fn refusals_are_api_gateways() {
    let broken = mapping(&[("application/json", "$input.path('$.a')")], Passthrough::Never, Vec::new());
    let error = call(&broken, &HeaderMap::new(), &context("nonsense")).unwrap_err();
    let message = r#"{"message":"Could not parse request body into json: Unexpected character ('n') at byte 0"}"#;
    assert_eq!(error.parts(), (StatusCode::BAD_REQUEST, "BadRequestException", message.to_owned()));
    let broken = mapping(&[("application/json", "$input.params('id').substring(9)")], Passthrough::Never, Vec::new());
    let error = call(&broken, &HeaderMap::new(), &context("")).unwrap_err();
    let message = r#"{"message":"Internal server error"}"#;
    assert_eq!(error.parts(), (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerErrorException", message.to_owned()));
    assert!(error.to_string().contains("line 1, column 1"), "{error}");
    let error = Refusal::MediaType("text/plain".to_owned());
    let message = r#"{"message":"Unsupported Media Type"}"#;
    assert_eq!(error.parts(), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "BadRequestException", message.to_owned()));
}

fn answered(
    responses: Vec<MappedResponse>,
    accept: &[(&str, &str)],
    status: u16,
    body: &str,
) -> Result<Answer, Refusal> {
    let mapping = mapping(&[], Passthrough::WhenNoMatch, responses);
    let headers = fields(&[("x-amzn-requestid", "q"), ("x-amz-crc32", "1")]);
    let returned = Returned { status: StatusCode::from_u16(status).unwrap(), headers: &headers, body };
    let made = call(&mapping, &HeaderMap::new(), &context("in")).unwrap();
    answer(&mapping, &fields(accept), context("in"), made, returned)
}

#[test]
fn the_response_is_chosen_by_status() {
    let all = || {
        vec![
            response(None, 200, &[], &[]),
            response(Some("4\\d{2}"), 404, &[], &[]),
            response(Some("5"), 501, &[], &[]),
            response(Some("5\\d{2}|6.."), 502, &[], &[]),
        ]
    };
    for (status, expected) in [(200, 200), (201, 200), (400, 404), (500, 502), (300, 200)] {
        assert_eq!(answered(all(), &[], status, "{}").unwrap().status.as_u16(), expected, "{status}");
    }
    let none = answered(all().split_off(1), &[], 200, "{}").unwrap_err();
    assert_eq!(none.to_string(), "no response mapping for status 200");
    assert!(StatusPattern::parse("(").is_err());
}

#[test]
fn the_answer_is_mapped() {
    let both: &[(&str, &str)] =
        &[("text/csv", "$input.path('$.Item.id.S'),$context.requestId"), ("application/json", "J$input.body")];
    for (accept, kind, body) in [
        (&[][..], "application/json", r#"J{"Item":{"id":{"S":"1"}}}"#),
        (&[("accept", "*/*")], "application/json", r#"J{"Item":{"id":{"S":"1"}}}"#),
        (&[("accept", "text/html, text/csv;q=0.5")], "text/csv", "1,r-1"),
    ] {
        let answer =
            answered(vec![response(None, 200, both, &[])], accept, 200, r#"{"Item":{"id":{"S":"1"}}}"#).unwrap();
        assert_eq!((answer.headers[CONTENT_TYPE].to_str().unwrap(), answer.body.as_str()), (kind, body));
    }
    // Without a template the body passes; the service's fields never do.
    let answer = answered(vec![response(None, 201, &[], &[])], &[], 200, "raw").unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (201, "raw"));
    assert_eq!(answer.headers, fields(&[("content-type", "application/json")]));
    // One template that does not fit serves all the same.
    let answer = answered(vec![response(None, 200, &both[..1], &[])], &[("accept", "text/html")], 200, "{}").unwrap();
    assert_eq!(answer.headers[CONTENT_TYPE], "text/csv");
    let error = answered(vec![response(None, 200, both, &[])], &[("accept", "text/csv")], 200, "<html>").unwrap_err();
    assert_eq!(error.parts().0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn fields_are_mapped() {
    let headers: &[(&str, &str)] = &[
        ("x-text", "'a b'"),
        ("x-id", "integration.response.header.x-amzn-requestid"),
        ("x-body", "integration.response.body.Item.id.S"),
        ("x-all", "integration.response.body.Item"),
        ("x-sub", "context.authorizer.claims.sub"),
        ("x-n", "context.n"),
        ("x-table", "stageVariables.table"),
        ("x-none", "integration.response.body.nothing"),
        ("x-nobody", "context.nothing.at.all"),
        ("date", "'today'"),
        ("transfer-encoding", "'chunked'"),
    ];
    let body = r#"{"Item":{"id":{"S":"1"}}}"#;
    let template = "#set($context.responseOverride.header.X-Text = 'over')#set($context.responseOverride.status = 418)";
    let made = answered(vec![response(None, 200, &[("application/json", template)], headers)], &[], 200, body).unwrap();
    assert_eq!(made.status.as_u16(), 418);
    assert_eq!(
        made.headers,
        fields(&[
            ("content-type", "application/json"),
            ("x-text", "over"),
            ("x-id", "q"),
            ("x-body", "1"),
            ("x-all", r#"{"id":{"S":"1"}}"#),
            ("x-sub", "u"),
            ("x-n", "5"),
            ("x-table", "todo"),
            ("x-amzn-remapped-date", "today"),
        ])
    );
    for template in
        ["#set($context.responseOverride.header['a b'] = 'x')", "#set($context.responseOverride.header.a = \"x\ny\")"]
    {
        let made = answered(vec![response(None, 200, &[("application/json", template)], &[])], &[], 200, body);
        assert!(matches!(made, Err(Refusal::Configuration(_))), "{template}");
    }
    for text in [
        "",
        "text",
        "'open",
        "context.",
        "stageVariables.",
        "integration.response.header.a b",
        "integration.response.bodyx",
    ] {
        assert!(MappedValue::parse(text).is_err(), "{text}");
    }
}
