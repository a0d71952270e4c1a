//! Who may, by document and request.

use super::*;

const RESOURCE: &str = "arn:aws:execute-api:eu-west-1:123456789012:api/prod/GET/pets/7";

fn request() -> Request<'static> {
    Request {
        action: "execute-api:Invoke",
        resource: RESOURCE,
        bare: None,
        source_ip: "203.0.113.7".parse().unwrap(),
        now_ms: 1_440_938_160_000,
        secure: true,
        principal_arn: Some("arn:aws:iam::123456789012:user/dev/alice"),
        user_agent: Some("curl/8.0"),
        referer: None,
        dynamodb: Items::default(),
    }
}

fn decide(statements: &str) -> Decision {
    evaluate(&Policy::parse(&format!(r#"{{"Statement":[{statements}]}}"#)).unwrap(), &request())
}

#[test]
fn statements_match() {
    use Decision::{Allow, ExplicitDeny, ImplicitDeny};
    let allow = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let deny = r#"{"Effect":"Deny","Action":"execute-api:*","Resource":"arn:aws:execute-api:*:*:api/prod/GET/pets/*"}"#;
    for (statements, decision) in [
        (String::new(), ImplicitDeny),
        (allow.to_owned(), Allow),
        (format!("{allow},{deny}"), ExplicitDeny),
        (format!("{deny},{allow}"), ExplicitDeny),
        (deny.to_owned(), ExplicitDeny),
        (r#"{"Effect":"Allow","Action":"EXECUTE-API:invoke","Resource":"*"}"#.to_owned(), Allow),
        (r#"{"Effect":"Allow","Action":"execute-api:Manage*","Resource":"*"}"#.to_owned(), ImplicitDeny),
        (r#"{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}"#.to_owned(), Allow),
        (r#"{"Effect":"Allow","NotAction":["s3:*","execute-api:*"],"Resource":"*"}"#.to_owned(), ImplicitDeny),
        (r#"{"Effect":"Allow","Action":"*","NotResource":"*/pets/*"}"#.to_owned(), ImplicitDeny),
        (r#"{"Effect":"Allow","Action":["a:b","execute-api:Invoke"],"Resource":["x","arn:aws:*"]}"#.to_owned(), Allow),
    ] {
        assert_eq!(decide(&statements), decision, "{statements}");
    }
}

#[test]
fn resources_match_part_by_part() {
    for (pattern, matches) in [
        (RESOURCE, true),
        ("*", true),
        ("arn:aws:execute-api:*", true),
        ("arn:aws:execute-api:*:*:api/*/GET/*", true),
        ("arn:aws:execute-api:eu-*-1:123456789012:api/prod/*", true),
        ("arn:aws:execute-api:eu-west-?:*:*/prod/GET/pets/?", true),
        ("arn:aws:execute-api:eu-*1:*:api/prod/GET/pets/7", true),
        // A star inside a part stays in it: here it would have to run over the region's end.
        ("arn:aws:execute-api:eu-*2:api/prod/GET/pets/7", false),
        ("arn:aws:ex*012:api/prod/GET/pets/7", false),
        ("arn:aws:execute-api?eu-west-1:123456789012:api/prod/GET/pets/7", false),
        ("arn:aws:execute-api:EU-west-1:*:*", false),
        ("arn:aws:execute-api:*:*:api/prod/POST/*", false),
        ("arn:aws:execute-api:*:*:api/prod/GET/pets", false),
        ("arn:aws:execute-api:*:*:*/*/*/*", true),
        ("**********7", true),
        ("", false),
    ] {
        assert_eq!(arn(pattern, RESOURCE, false), matches, "{pattern}");
        assert_eq!(arn(pattern, RESOURCE, true), matches, "{pattern}");
    }
    assert!(
        arn("arn:aws:lambda:*:*:function:a*z", "arn:aws:lambda:r:1:function:a:b:z", false),
        "the resource may hold colons"
    );
    assert!(arn("GET/*/x", "GET/a:b/x", false), "what is no ARN has no parts");
    // A path that looks like the rest of an ARN is not allowed by what allows that ARN, and is denied by what denies it.
    let (pattern, twice) = ("arn:aws:execute-api:*:1:api/pets", "arn:aws:execute-api:r:1:api/secret:1:api/pets");
    assert!(!arn(pattern, twice, false) && arn(pattern, twice, true));
    let short = "arn:aws:execute-*i:*:api/prod/GET/pets/7";
    assert!(!arn(short, RESOURCE, false) && arn(short, RESOURCE, true));
}

/// However a path and a resource are spelled, and however an origin may read the path.
#[test]
fn paths_are_asked_about_in_one_spelling_and_every_reading() {
    use Decision::{Allow, ExplicitDeny, ImplicitDeny};
    let exact = |resource: &str| format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*/GET{resource}"}}"#);
    let deny = |resource: &str| {
        format!(
            r#"{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"*","Resource":"*/GET{resource}"}}"#
        )
    };
    let all_but = |effect: &str, resource: &str| {
        format!(
            r#"{{"Effect":"{effect}","Action":"*","NotResource":"*/GET{resource}"}}{}"#,
            if effect == "Deny" { r#",{"Effect":"Allow","Action":"*","Resource":"*"}"# } else { "" }
        )
    };
    for (statements, path, want) in [
        // What an authorizer function answers that allows what it was shown.
        (exact("/items/a%20b"), "/items/a%20b", Allow),
        (exact("/items/a b"), "/items/a%20b", Allow),
        (exact("/caf%c3%a9"), "/caf%C3%A9", Allow),
        (exact("/café"), "/caf%c3%a9", Allow),
        (exact("/me@example.com"), "/me%40example.com", Allow),
        (exact("/%41"), "/A", Allow),
        (exact("/caf?"), "/caf%C3%A9", Allow),
        // What begins no character is one byte.
        (exact("/public/?"), "/public/%F0/adm1", ImplicitDeny),
        (exact("/public/?"), "/public/%F0", Allow),
        (exact("/caf?/x"), "/caf%E9/x", Allow),
        (exact("/?/x"), "/%F0%9F%98%80/x", Allow),
        (exact("/?/x"), "/%F0%9F/x", Allow),
        (exact("/??/x"), "/%F0%41/x", Allow),
        (exact("/a*b"), "/a*b", Allow),
        (exact("/a%2Ab"), "/axb", ImplicitDeny),
        (exact("/a%2Fb"), "/a%2fb", ImplicitDeny),
        (exact("/a/"), "/a/", Allow),
        (exact("/a"), "/a/", ImplicitDeny),
        (exact("/a//b"), "/a//b", ImplicitDeny),
        (deny("/admin/keys"), "/admin/keys/", ExplicitDeny),
        (deny("/admin/keys"), "/admin//keys/", ExplicitDeny),
        (deny("/admin/keys"), "/admin/keys/x", Allow),
        (all_but("Allow", "/admin/keys"), "/admin/keys/", ImplicitDeny),
        (all_but("Allow", "/admin/keys"), "/admin/x/", Allow),
        (all_but("Deny", "/items/*"), "/items/", Allow),
        (all_but("Deny", "/items/*"), "/items", ExplicitDeny),
        (deny("/reports/%5B2024%5D/*"), "/reports/[2024]/x", ExplicitDeny),
        (deny("/caf%C3%A9/*"), "/café/x", ExplicitDeny),
        (deny("/users/me%40x/*"), "/users/me@x/1", ExplicitDeny),
        (deny("/admin/*"), "/x%2f..%2fadmin/x", ExplicitDeny),
        (deny("/*.pdf"), "/a.pdf%3Fx", ExplicitDeny),
    ] {
        let policy = spelled(Policy::parse(&format!(r#"{{"Statement":[{statements}]}}"#)).unwrap());
        let resource = |path: &str| format!("arn:aws:execute-api:eu-west-1:123456789012:api/prod/GET{path}");
        assert_eq!(evaluate_path(&policy, path, resource, request()), want, "{statements} {path}");
    }
}

#[test]
fn wildcards_match() {
    for (pattern, text, matches) in [
        ("a*b*c", "a1b2b3c", true),
        ("a*b*c", "a1b2b3", false),
        ("?", "é", true),
        ("??", "é", false),
        ("*?", "é", true),
        ("a?", "a", false),
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*a", "a", false),
        ("*aab", "aaaab", true),
    ] {
        assert_eq!(like(pattern, text, false), matches, "{pattern} {text}");
    }
    let (pattern, text) = ("a*".repeat(200) + "b", "a".repeat(4000));
    assert!(!like(&pattern, &text, false), "and it ends");
}

#[test]
fn conditions_hold() {
    for (condition, holds) in [
        (r#""IpAddress":{"aws:SourceIp":"203.0.113.0/24"}"#, true),
        (r#""IpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.7"]}"#, true),
        (r#""NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.7"]}"#, false),
        (r#""NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, true),
        (r#""DateLessThan":{"aws:CurrentTime":"2015-08-30T12:36:01Z"}"#, true),
        (r#""DateLessThan":{"aws:CurrentTime":"2015-08-30T12:36:00Z"}"#, false),
        (r#""DateLessThanEquals":{"aws:CurrentTime":"2015-08-30T12:36:00Z"}"#, true),
        (r#""DateGreaterThan":{"aws:EpochTime":"2015-08-30T12:35:59Z"}"#, true),
        (r#""NumericGreaterThanEquals":{"aws:EpochTime":1440938160}"#, true),
        (r#""NumericEquals":{"aws:EpochTime":["1","1440938160"]}"#, true),
        (r#""DateNotEquals":{"aws:CurrentTime":"2015-08-30T12:36:00Z"}"#, false),
        (r#""Bool":{"aws:SecureTransport":"true"}"#, true),
        (r#""Bool":{"aws:SecureTransport":false}"#, false),
        (r#""StringEquals":{"aws:username":"alice"}"#, true),
        (r#""StringEquals":{"aws:username":"Alice"}"#, false),
        (r#""StringEqualsIgnoreCase":{"aws:username":"Alice"}"#, true),
        (r#""StringLike":{"aws:UserAgent":["x","curl/*"]}"#, true),
        (r#""StringNotLike":{"aws:UserAgent":["x","curl/*"]}"#, false),
        (r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/dev/*"}"#, true),
        (r#""ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}"#, true),
        // Nothing is sent: equal to nothing, and other than anything.
        (r#""StringLike":{"aws:Referer":"*"}"#, false),
        (r#""StringLikeIfExists":{"aws:Referer":"x"}"#, true),
        (r#""StringNotEquals":{"aws:Referer":"x"}"#, true),
        (r#""ForAllValues:StringEquals":{"aws:Referer":"x"}"#, true),
        (r#""ForAnyValue:StringEquals":{"aws:Referer":"x"}"#, false),
        (r#""ForAnyValue:StringNotEquals":{"aws:Referer":"x"}"#, false),
        (r#""ForAnyValue:StringEquals":{"aws:username":["bob","alice"]}"#, true),
        (r#""Null":{"aws:Referer":"true"}"#, true),
        (r#""Null":{"aws:UserAgent":"true"}"#, false),
        (r#""Null":{"aws:UserAgent":false}"#, true),
        (r#""Bool":{"aws:SecureTransport":true},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, false),
    ] {
        let statement = format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#);
        assert_eq!(decide(&statement) == Decision::Allow, holds, "{condition}");
    }
}

#[test]
fn a_mapped_address_is_its_own() {
    let policy = r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}}"#;
    let mapped = Request { source_ip: "::ffff:203.0.113.7".parse().unwrap(), ..request() };
    assert_eq!(evaluate(&Policy::parse(policy).unwrap(), &mapped), Decision::ExplicitDeny);
}

#[test]
fn items_of_dynamodb() {
    use Decision::{Allow, ImplicitDeny};
    let statement = |condition: &str| {
        format!(r#"{{"Statement":[{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}]}}"#)
    };
    let all = r#"{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["a","b"]}}"#;
    let any = r#"{"ForAnyValue:StringLike":{"dynamodb:LeadingKeys":"a*"}}"#;
    let none = r#"{"ForAllValues:StringNotEquals":{"dynamodb:LeadingKeys":"a"}}"#;
    let fields = r#"{"ForAllValues:StringEquals":{"dynamodb:Attributes":["id","name"]},"StringEqualsIfExists":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}"#;
    let null = r#"{"Null":{"dynamodb:LeadingKeys":"false"}}"#;
    for (condition, keys, attributes, select, want) in [
        (all, &["a"][..], &[][..], None, Allow),
        (all, &["a", "b"], &[], None, Allow),
        (all, &["a", "c"], &[], None, ImplicitDeny),
        (all, &[], &[], None, Allow),
        (any, &["x", "ab"], &[], None, Allow),
        (any, &["x"], &[], None, ImplicitDeny),
        (any, &[], &[], None, ImplicitDeny),
        (none, &["b", "c"], &[], None, Allow),
        (none, &["b", "a"], &[], None, ImplicitDeny),
        (fields, &["z"], &["id", "name"], Some("SPECIFIC_ATTRIBUTES"), Allow),
        (fields, &["z"], &["id"], None, Allow),
        (fields, &["z"], &["id", "secret"], Some("SPECIFIC_ATTRIBUTES"), ImplicitDeny),
        (fields, &["z"], &["id"], Some("ALL_ATTRIBUTES"), ImplicitDeny),
        (null, &["z"], &[], None, Allow),
        (null, &[], &[], None, ImplicitDeny),
    ] {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (keys, attributes) = (own(keys), own(attributes));
        let dynamodb = Items { leading_keys: &keys, attributes: &attributes, select, return_values: None };
        let policy = Policy::parse(&statement(condition)).unwrap();
        assert_eq!(evaluate(&policy, &Request { dynamodb, ..request() }), want, "{condition} {keys:?} {attributes:?}");
    }
    for bad in [
        r#"{"StringEquals":{"dynamodb:LeadingKeys":"a"}}"#,
        r#"{"ForAllValues:Bool":{"dynamodb:LeadingKeys":"true"}}"#,
        r#"{"StringEquals":{"dynamodb:FullTableScan":"a"}}"#,
    ] {
        assert!(Policy::parse(&statement(bad)).is_err(), "{bad}");
    }
}
