//! What is a policy, and what is refused by name.

use super::*;

fn with(members: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"s:A","Resource":"*"{members}}}}}"#)
}

#[test]
fn a_document_is_read() {
    let text = r#"{"Version":"2012-10-17","Id":"x","Statement":[
        {"Sid":"one","Effect":"Allow","Action":["execute-api:Invoke","s3:Get*"],"NotResource":"arn:aws:s3:::b/*",
         "Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1"]},"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"},
                      "BoolIfExists":{"AWS:securetransport":true},"StringNotLike":{"aws:UserAgent":"curl/*"}}},
        {"Effect":"Deny","NotAction":"*","Resource":["*"]}]}"#;
    let policy = Policy::parse(text).unwrap();
    let [one, two] = policy.statements.as_slice() else { panic!("{policy:?}") };
    assert_eq!(one.sid.as_deref(), Some("one"));
    assert!(one.allow && !one.actions.not && one.resources.not);
    assert_eq!(one.conditions.len(), 4);
    let of = |key| one.conditions.iter().find(|c| c.key == key).unwrap();
    assert_eq!(of(Key::CurrentTime).test, Test::Time(Order::Less, vec![1_767_225_600]));
    assert!(of(Key::SecureTransport).absent && !of(Key::SourceIp).absent);
    assert!(of(Key::UserAgent).negated && of(Key::UserAgent).absent, "a negation holds when there is nothing");
    assert!(!two.allow && two.actions.not && two.conditions.is_empty());
    assert!(Policy::parse(r#"{"Statement":[]}"#).unwrap().statements.is_empty());
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let long = "x".repeat(MAX_DOCUMENT + 1);
    for (text, named) in [
        ("", "JSON"),
        ("[]", "object"),
        ("{}", "Statement"),
        (r#"{"Statement":1}"#, "Statement"),
        (r#"{"Statement":[1]}"#, "Statement 0"),
        (r#"{"statement":[]}"#, "\"statement\""),
        (r#"{"Version":"2013-01-01","Statement":[]}"#, "2013-01-01"),
        (r#"{"Statement":[],"Statement":[]}"#, "twice"),
        (r#"{"Statement":{"Action":"s:A","Resource":"*"}}"#, "Effect"),
        (r#"{"Statement":{"Effect":"allow","Action":"s:A","Resource":"*"}}"#, "allow"),
        (r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#, "Action"),
        (r#"{"Statement":{"Effect":"Allow","Action":"s:A"}}"#, "Resource"),
        (r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#, "Action"),
        (r#"{"Statement":{"Effect":"Allow","Action":"Invoke","Resource":"*"}}"#, "Invoke"),
        (r#"{"Statement":{"Effect":"Allow","Action":"s:A","Resource":""}}"#, "Resource"),
        (&with(r#","NotAction":"s:B""#), "NotAction"),
        (&with(r#","NotResource":"x""#), "NotResource"),
        (&with(r#","Principal":"*""#), "Principal"),
        (&with(r#","Effect":"Deny""#), "twice"),
        (&with(r#","Comment":"x""#), "Comment"),
        (&with(r#","Sid":1"#), "Sid"),
        (&with(r#","Condition":[]"#), "Condition"),
        (&with(r#","Condition":{"Bool":1}"#), "Bool"),
        (&with(r#","Condition":{"Bool":{}}"#), "Bool"),
        (&with(r#","Condition":{"BinaryEquals":{"aws:Referer":"x"}}"#), "BinaryEquals"),
        (&with(r#","Condition":{"ForSome:Bool":{"aws:SecureTransport":"true"}}"#), "ForSome:Bool"),
        (&with(r#","Condition":{"StringEquals":{"aws:MultiFactorAuthPresent":"x"}}"#), "MultiFactorAuthPresent"),
        (&with(r#","Condition":{"StringEquals":{"aws:userid":"x"}}"#), "aws:userid"),
        (&with(r#","Condition":{"StringEquals":{"aws:SourceIp":"10.0.0.1"}}"#), "aws:SourceIp"),
        (&with(r#","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}"#), "10.0.0.0/33"),
        (&with(r#","Condition":{"IpAddress":{"aws:SourceIp":[]}}"#), "aws:SourceIp"),
        (&with(r#","Condition":{"DateLessThan":{"aws:CurrentTime":"soon"}}"#), "soon"),
        (&with(r#","Condition":{"NumericLessThan":{"aws:EpochTime":1.5}}"#), "1.5"),
        (&with(r#","Condition":{"Bool":{"aws:SecureTransport":"yes"}}"#), "yes"),
        (&with(r#","Condition":{"NullIfExists":{"aws:Referer":"true"}}"#), "NullIfExists"),
        (&with(r#","Condition":{"StringLike":{"aws:Referer":"${aws:username}"}}"#), "variables"),
        (&long, "bytes"),
    ] {
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
