//! Tests of origins that are no plain HTTP servers: what is written is what runs, each rule broken once.

use std::path::Path;

use super::*;
use crate::config::compiled::{AwsEndpoint, LambdaOrigin, OriginKind, RouteSegment};

fn read(keys: &str) -> Result<Config, String> {
    let text = format!("[[origin]]\nname = 'o'\n{keys}\n");
    parse(&text, "t.toml", Path::new("/base")).map_err(|errors| errors.to_string())
}

fn lambda(keys: &str) -> Result<LambdaOrigin, String> {
    match read(&format!("lambda = {{ {keys} }}"))?.origins[0].kind.clone() {
        OriginKind::Lambda(lambda) => Ok((*lambda).clone()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn functions_and_endpoints_are_read() {
    let one = lambda("function = 'todo:live'").unwrap();
    assert_eq!((one.function.as_str(), one.qualifier.as_deref()), ("todo", Some("live")));
    assert!(matches!(one.endpoint, AwsEndpoint::Local));
    let arn = lambda("function = 'arn:aws:lambda:eu-west-1:123456789012:function:todo:7'").unwrap();
    assert_eq!(arn.function, "arn:aws:lambda:eu-west-1:123456789012:function:todo");
    assert_eq!(arn.qualifier.as_deref(), Some("7"));
    let far = lambda("function = 'f', endpoint = 'http://127.0.0.1:9001', region = 'eu-west-1'").unwrap();
    let AwsEndpoint::Remote(remote) = far.endpoint else { panic!() };
    assert_eq!((remote.base.to_string(), remote.region.as_str()), ("http://127.0.0.1:9001/".into(), "eu-west-1"));
}

#[test]
fn what_cannot_be_is_refused() {
    let table = [
        ("function = 'a b'", "'a b' is no function"),
        ("function = 'f', endpoint = 'aws:eu-west-1'", "AWS answers signed requests only"),
        ("function = 'f', endpoint = 'ftp://x'", "'ftp://x' is no endpoint"),
        ("function = 'f', endpoint = 'http://x/path'", "'http://x/path' is no endpoint"),
        ("function = 'f', timeout = '901s'", "a function takes at most 900s"),
        ("function = 'f', routes = ['GET todos']", "'GET todos' is no route"),
        ("function = 'f', routes = ['GET /{a+}/b']", "'{a+}' takes the rest of the path"),
        ("function = 'f', routes = ['GET /{a}/{a}']", "the variable 'a' is there twice"),
        ("function = 'f', routes = ['GET /{a}', 'GET /{b}']", "a route before this one takes the same requests"),
        ("function = 'f', binary = ['*/*']", "only REST APIs have binary media types"),
        ("function = 'f', payload = 'alb', invoke = 'streamed'", "load balancers do not stream"),
        ("function = 'f', payload = '3.0'", "unknown value '3.0'"),
        (
            "function = 'f', endpoint = 'http://x', credentials = { access_key = 'A', secret_key = 'plain' }",
            "a secret is never written in the configuration itself",
        ),
    ];
    for (keys, words) in table {
        let error = lambda(keys).unwrap_err();
        assert!(error.contains(words), "{keys}: {error}");
    }
}

#[test]
fn routes_are_read_as_api_gateway_writes_them() {
    let one = lambda("function = 'f', routes = ['GET /todos/{id}', 'ANY /files/{path+}', '$default']").unwrap();
    let [get, any, default] = one.routes.as_slice() else { panic!() };
    assert_eq!((get.method.as_deref(), any.method.as_deref(), default.method.as_deref()), (Some("GET"), None, None));
    let text = |text: &str| RouteSegment::Text(text.into());
    assert_eq!(get.segments.as_deref(), Some([text("todos"), RouteSegment::One("id".into())].as_slice()));
    assert_eq!(any.segments.as_deref(), Some([text("files"), RouteSegment::Rest("path".into())].as_slice()));
    assert_eq!((default.segments.as_ref(), default.text.as_str()), (None, "$default"));
}

#[test]
fn a_signed_origin_has_one_way_to_go() {
    const SIGN: &str = "sign = { service = 'lambda', region = 'eu-west-1', credentials = { access_key = 'AKID', secret_key = 'env:PATH' } }";
    let good = read(&format!("url = 'https://x.lambda-url.eu-west-1.on.aws/base'\n{SIGN}")).unwrap();
    let OriginKind::Signed(signed) = &good.origins[0].kind else { panic!() };
    assert_eq!(signed.base.to_string(), "https://x.lambda-url.eu-west-1.on.aws/");
    assert_eq!((good.origins[0].path.as_str(), signed.body), ("/base", 6 << 20));
    let table = [
        (format!("targets = ['http://a', 'http://b']\n{SIGN}"), "'targets' means nothing beside 'sign'"),
        (format!("url = 'http://a'\nhealth = {{ path = '/' }}\n{SIGN}"), "'health' means nothing beside 'sign'"),
        (format!("url = 'http://a'\n{}", SIGN.replace("'lambda'", "'Lambda'")), "'Lambda' is none"),
        (format!("lambda = {{ function = 'f' }}\n{SIGN}"), "'sign' means nothing beside 'lambda'"),
        (
            "lambda = { function = 'f' }\ngenerated = { body = 'x' }".to_owned(),
            "'lambda' means nothing beside 'generated'",
        ),
    ];
    for (keys, words) in table {
        let error = read(&keys).err().unwrap_or_else(|| panic!("taken: {keys}"));
        assert!(error.contains(words), "{keys}: {error}");
    }
}

#[test]
fn what_a_function_says_nothing_about_is_not_kept() {
    let ttl = |keys: &str| read(keys).unwrap().behaviors[0].cache.default_ttl.as_secs();
    let behavior = "[[behavior]]\nmatch = '*'\n";
    assert_eq!(ttl(&format!("lambda = {{ function = 'f' }}\n{behavior}")), 0);
    assert_eq!(ttl(&format!("lambda = {{ function = 'f' }}\n{behavior}cache = {{ ttl = '30s' }}")), 30);
    assert_eq!(ttl(&format!("url = 'http://h'\n{behavior}")), 86_400);
}
