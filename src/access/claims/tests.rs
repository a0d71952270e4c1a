//! Claims in both forms: where they stand, and as a tree.

use serde_json::json;

use super::*;

/// The same object, told so that it is read whole.
fn escaped(text: &str) -> String {
    text.replacen('{', if text.trim() == "{}" { r#"{"\u007a":0"# } else { r#"{"\u007a":0,"# }, 1)
}

#[test]
fn claims_are_the_same_in_both_forms() {
    let text =
        r#" { "iss":"https://i/ü", "n" : -12, "zero":0,"t":true,"none":null, "l" : ["a","b,c"] ,"e":[],"":"x"} "#;
    let flat = Claims::parse(text.into()).unwrap();
    let read = Claims::parse(escaped(text).into()).unwrap();
    assert!(flat.members.is_some() && read.members.is_none());
    for claims in [&flat, &read] {
        let get = |name: &str| claims.get(name);
        assert_eq!(get("iss").and_then(Claim::as_str), Some("https://i/ü"));
        assert_eq!(get("n").and_then(Claim::as_f64), Some(-12.0));
        assert_eq!(get("zero").and_then(Claim::as_f64), Some(0.0));
        assert_eq!(get("").and_then(Claim::as_str), Some("x"));
        for (name, words) in [("iss", "https://i/ü"), ("n", "-12"), ("t", "true"), ("none", "null"), ("e", "[]")] {
            assert_eq!(get(name).unwrap().words(), words, "{name}");
            let list = get(name).unwrap().list().count();
            assert_eq!(list, 0, "{name}");
        }
        assert_eq!(get("l").unwrap().words(), r#"["a","b,c"]"#);
        assert_eq!(get("l").unwrap().list().collect::<Vec<_>>(), ["a", "b,c"]);
        for name in ["n", "t", "none", "l"] {
            assert_eq!(get(name).and_then(Claim::as_str), None, "{name}");
        }
        for name in ["iss", "t", "none", "l"] {
            assert_eq!(get(name).and_then(Claim::as_f64), None, "{name}");
        }
        assert!(get("is").is_none() && get("isss").is_none());
        let all = json!({"iss": "https://i/ü", "n": -12, "zero": 0, "t": true, "none": null, "l": ["a", "b,c"], "e": [], "": "x"});
        let all = all.as_object().unwrap();
        assert!(all.iter().all(|(name, value)| claims.all().get(name) == Some(value)));
    }
}

#[test]
fn what_is_flat_is_what_serde_json_reads() {
    let many = format!("{{{}\"z\":1}}", (0..100).map(|n| format!("\"{n}\":{n},")).collect::<String>());
    for (text, flat, good) in [
        ("{}", true, true),
        ("\t{\r\n} ", true, true),
        (r#"{"a":1}"#, true, true),
        (r#"{"a":999999999999999}"#, true, true),
        (&many, true, true),
        // JSON, but not as simple.
        (r#"{"a":1234567890123456}"#, false, true),
        (r#"{"a":1.5}"#, false, true),
        (r#"{"a":1e3}"#, false, true),
        (r#"{"a":-0}"#, false, true),
        (r#"{"a":{}}"#, false, true),
        (r#"{"a":[1]}"#, false, true),
        (r#"{"a":["b", "c"]}"#, false, true),
        (r#"{"a":[ "b"]}"#, false, true),
        (r#"{"a":["b" ]}"#, false, true),
        (r#"{"a":[ ]}"#, false, true),
        (r#"{"a" : ["b","c"] , "d":[]}"#, true, true),
        (r#"{"a":["b",["c"]]}"#, false, true),
        (r#"{"a":"\n"}"#, false, true),
        (r#"{"\u0061":"b"}"#, false, true),
        // None.
        ("", false, false),
        ("[]", false, false),
        ("{", false, false),
        (r#"{"a"}"#, false, false),
        (r#"{"a":}"#, false, false),
        (r#"{"a":1,}"#, false, false),
        (r#"{,"a":1}"#, false, false),
        (r#"{"a":1"b":2}"#, false, false),
        (r#"{"a":01}"#, false, false),
        (r#"{"a":-}"#, false, false),
        (r#"{"a":+1}"#, false, false),
        (r#"{"a":1x}"#, false, false),
        (r#"{"a":truex}"#, false, false),
        (r#"{"a":tru}"#, false, false),
        (r#"{"a":["b",]}"#, false, false),
        (r#"{"a":["b" "c"]}"#, false, false),
        (r#"{"a":["b"}"#, false, false),
        ("{\"a\":\"\n\"}", false, false),
        (r#"{"a":"b}"#, false, false),
        (r#"{"a":1} {}"#, false, false),
        (r#"{"a":1}x"#, false, false),
        ("{\u{a0}}", false, false),
        // A member twice.
        (r#"{"a":1,"b":2,"a":1}"#, false, false),
        (r#"{"a":1,"\u0061":1}"#, false, false),
        (r#"{"a":{"b":1,"b":2}}"#, false, false),
    ] {
        assert_eq!(flat::members(text).is_some(), flat, "{text}");
        let claims = Claims::parse(text.into());
        assert_eq!(claims.is_ok(), good, "{text}");
        if let Ok(claims) = claims {
            let all = serde_json::from_str::<Map<String, Value>>(text).unwrap();
            for (name, value) in &all {
                let words = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                assert_eq!(claims.get(name).unwrap().words(), words, "{text}: {name}");
            }
            assert_eq!(**claims.all(), all, "{text}");
        }
    }
    assert!(Claims::parse(b"{\"a\":\"\xff\"}".into()).is_err());
    let long = format!(r#"{{"a":"{}"}}"#, "b".repeat(70_000));
    assert!(flat::members(&long).is_none() && Claims::parse(long.into()).is_ok());
}

#[test]
fn what_a_token_says_is_not_which_token_it_is() {
    for form in [str::to_owned, escaped] {
        let says = |text: &str| Claims::parse(form(text).into()).unwrap().says();
        let one = says(r#"{"sub":"a","exp":1,"jti":"x"}"#);
        assert_eq!(one, says(r#"{"jti":"y","exp":2, "sub":"a","iat":5}"#));
        for other in [r#"{"sub":"b"}"#, r#"{"sub":"a","role":"x"}"#, r#"{"sub":["a"]}"#, r#"{"su":"ba"}"#, "{}"] {
            assert_ne!(one, says(other), "{other}");
        }
    }
    // However an issuer writes a list down.
    let says = |text: &str| Claims::parse(text.into()).unwrap().says();
    let compact = says(r#"{"sub":"a","groups":["x","y"]}"#);
    assert_eq!(compact, says("{ \"sub\": \"a\",\n\"groups\": [\n\"x\", \"y\" ] }"));
    let context = json!({"sub": "a", "n": 1.5});
    let claims = Claims::from(context.as_object().unwrap().clone());
    assert_eq!((claims.text(), claims.get("n").unwrap().words()), (r#"{"n":1.5,"sub":"a"}"#, "1.5".into()));
}
