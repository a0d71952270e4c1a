//! What is JSON, what is none, and that another reader agrees.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Node<'_>, Flaw> {
    let mut reader = Reader::new(text);
    let node = Node::read(&mut reader)?;
    reader.end()?;
    Ok(node)
}

fn same(node: &Node<'_>, value: &serde_json::Value) -> bool {
    match (node, value) {
        (Node::Null, serde_json::Value::Null) => true,
        (Node::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Node::Number(a), serde_json::Value::Number(b)) => b.as_f64() == Some(*a),
        (Node::Text(a), serde_json::Value::String(b)) => a == b,
        (Node::List(a), serde_json::Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Node::Object(a), serde_json::Value::Object(b)) => {
            a.iter().all(|(name, _)| b.contains_key(&**name)) && b.iter().all(|(name, b)| same(node.get(name), b))
        }
        _ => false,
    }
}

/// What one reader takes the other takes, and reads the same. Half surrogate pairs and huge exponents are ours alone.
fn agree(text: &str) {
    let (own, other) = (read(text), serde_json::from_str::<serde_json::Value>(text));
    let mut reader = Reader::new(text);
    let past = reader.skip().and_then(|()| reader.end());
    assert_eq!(past.err(), own.as_ref().err().copied(), "what is skipped is judged as what is read: {text}");
    match (&own, &other) {
        (Ok(node), Ok(value)) => assert!(same(node, value), "{text}"),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(why)) => assert!(text.contains("\\u") || why.to_string().contains("range"), "{why}: {text}"),
        (Err(flaw), Ok(_)) => panic!("{flaw}: {text}"),
    }
}

#[test]
fn values_and_what_is_none() {
    for text in [
        "",
        " ",
        "null",
        "nul",
        "true",
        "false",
        "nullx",
        "0",
        "-0",
        "01",
        "-",
        "1.",
        ".5",
        "1.5",
        "1e5",
        "1e",
        "1E+5",
        "1e999",
        "+1",
        "1.e5",
        "-1.5e-5",
        "\"\"",
        "\"a",
        "\"\\n\\t\\r\\b\\f\\/\\\\\\\"\"",
        "\"\\x\"",
        "\"\\u00e9\"",
        "\"\\u00e\"",
        "\"\\u+0e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\n\"",
        "\"\u{7f}é\"",
        "[]",
        "[1]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "{}",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{",
        "[1]]",
        "{}{}",
        " [ 1 , { \"a\" : [ ] } ] ",
        "\"12345678\"",
        "\"1234567\\\"\"",
        "\"é2345678é\"",
    ] {
        agree(text);
    }
    assert_eq!(read("\"a\\ud800b\\udc00\\ud800\\u0041\"").unwrap().text(), Some("a\u{fffd}b\u{fffd}\u{fffd}A"));
    assert_eq!(read(&"[".repeat(DEPTH_MAX + 1)).unwrap_err().to_string(), "nested too deeply at byte 64");
    assert_eq!(read("{\"a\":x}").unwrap_err().to_string(), "a value is missing at byte 5");
    let many = format!("[{}1]", "1,".repeat(MEMBERS_MAX));
    assert!(read(&many).unwrap_err().to_string().starts_with("more members"));
}

#[test]
fn a_result_of_many_small_values_is_refused() {
    // Two bytes of text each, and many times that as nodes.
    let list = format!("[{}1]", "1,".repeat(MEMBERS_MAX - 1));
    for (lists, good) in [(3, true), (4, false)] {
        let text = format!("[{}]", vec![list.as_str(); lists].join(","));
        assert_eq!(read(&text).is_ok(), good, "{lists}");
        let line = format!(r#"{{"x":[{}]}}"#, vec![format!(r#"{{"value":{list}}}"#); lists].join(","));
        assert_eq!(Map::<Lines<'_>>::read(&mut Reader::new(&line)).is_ok(), good, "{lists}");
    }
    let most = format!("{{{}}}", vec![r#""p":{"value":"","multiValue":[]}"#; MEMBERS_MAX].join(","));
    assert!(Map::<Member<'_>>::read(&mut Reader::new(&most)).is_ok(), "a parameter each");
}

proptest! {
    #[test]
    fn both_readers_agree(pieces in proptest::collection::vec(proptest::sample::select(&[
        "{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"b\":", "1", "-2.5e3", "null", "true", " ", "\\", "\\n", "\\u0041", "é", "\t",
    ][..]), 0..16)) {
        agree(&pieces.concat());
    }
}
