//! Events: JSON that goes in and comes out, and the memory that it and everything else is made in.
//!
//! In: texts with every kind of character at every place, objects as events have them and nearly so. Out: the same. Never: AWS's rules.

use serde_json::{Value, json};

use crate::bench::{Bench, text};
use crate::exchange::get;

async fn asked(bench: &Bench, event: &str) -> Value {
    let (called, said) = bench.ask(event).await;
    called.outcome.unwrap();
    serde_json::from_str(&said.unwrap().unwrap()).unwrap()
}

/// The engine looks at eight characters at once: each kind stands at each place of texts around that length.
#[tokio::test]
async fn texts_come_back_as_they_were() {
    let bench = Bench::of(&text("f.js", "exports.handler = async (event) => event;"), 1000);
    let odd =
        ["", "\"", "\\", "\u{1}", "\n", "\u{1f}", " ", "!", "#", "[", "]", "~", "\u{7f}", "\u{80}", "é", "€", "😀"];
    for length in 0..26 {
        let mut texts = Vec::new();
        for place in 0..=length {
            for odd in odd {
                let (before, after) = ("abcdefghijklmnopqrstuvwxyz"[..length]).split_at(place);
                texts.push(format!("{before}{odd}{after}"));
                texts.push(format!("{before}{odd}{after}{odd}"));
            }
        }
        let (plain, pairs): (Vec<_>, Vec<_>) =
            texts.iter().map(|text| (json!({ text.as_str(): text }), json!({ "key": text, "value": text }))).unzip();
        let event = json!([texts, plain, pairs]);
        assert_eq!(asked(&bench, &event.to_string()).await, event, "{length}");
    }
    let surrogates = r#"["\ud83d\ude00", "\u0041\u00e9", {"key":"\u0041","value":"\\\"\/"}]"#;
    assert_eq!(asked(&bench, surrogates).await, json!(["😀", "Aé", { "key": "A", "value": "\\\"/" }]));
}

#[tokio::test]
async fn objects_like_a_headers_lines_are_what_they_are() {
    let bench = Bench::of(&text("f.js", "exports.handler = async (event) => event;"), 1000);
    for event in [
        r#"{"key":"a","value":"b"}"#,
        r#"{"value":"b","key":"a"}"#,
        r#"{"key":"a"}"#,
        r#"{"key":"a","value":7}"#,
        r#"{"key":7,"value":"b"}"#,
        r#"{"key":"a","value":"b","more":["c"]}"#,
        r#"{"key":"a","value":null}"#,
        r#"{"key":"a","values":"b"}"#,
        r#"{"keys":"a","value":"b"}"#,
        r#"{ "key": "a", "value": "b" }"#,
        r#"{"key":"a","value":"b" }"#,
        r#"{"key":"","value":""}"#,
        r#"{"key":"a","value":"b","key":"c"}"#,
        r#"{"key":"a","value":{"key":"b","value":"c"}}"#,
        r#"[{"key":"a","value":"b"},{"key":"c","value":"d"},{"key":"e"}]"#,
    ] {
        let want: Value = serde_json::from_str(event).unwrap();
        assert_eq!(asked(&bench, event).await, want, "{event}");
    }
    for broken in [
        r#"{"key":"a","value":"b""#,
        r#"{"key":"a","value":"b"]"#,
        r#"{"key":"a","value":"b"#,
        r#"{"key":"a"#,
        r#"{"key":""#,
    ] {
        let (called, said) = bench.ask(broken).await;
        called.outcome.unwrap();
        assert!(said.unwrap().unwrap_err().contains("not JSON"), "{broken}");
    }
    let changes = "exports.handler = async ({ lines: [a, b, c, d, e] }) => {
        a.more = 1;
        delete b.key;
        c.value += '!';
        Object.defineProperty(d, 'key', { get: () => 'got', enumerable: true });
        Object.freeze(e);
        try { 'use strict'; e.value = 'x'; } catch {}
        const whole = Object.keys(a).join() + ('value' in b) + Object.getPrototypeOf(c).constructor.name + Object.isFrozen(e);
        return [a, b, c, d, e, whole, { ...c }, { key: 'k', value: 'v' }];
    };";
    let bench = Bench::of(&text("f.js", changes), 1000);
    let pair = r#"{"key":"k","value":"v"}"#;
    for _ in 0..3 {
        let got = asked(&bench, &format!(r#"{{"lines":[{pair},{pair},{pair},{pair},{pair}]}}"#)).await;
        let plain = json!({ "key": "k", "value": "v" });
        let want = json!([
            { "key": "k", "value": "v", "more": 1 }, { "value": "v" }, { "key": "k", "value": "v!" },
            { "key": "got", "value": "v" }, plain, "key,value,moretrueObjecttrue", { "key": "k", "value": "v!" }, plain
        ]);
        assert_eq!(got, want);
    }
}

/// An instance that does the same again and again needs no more memory for it.
#[tokio::test]
async fn the_same_work_takes_the_same_memory() {
    for work in [
        "const a = []; for (let i = 0; i < 20000; i++) a.push(i);",
        "'a b '.repeat(3000).replace(/ /g, '%20');",
        "JSON.stringify(Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, value: 'v'.repeat(i % 50) })));",
        "new Map(Array.from({ length: 2000 }, (_, i) => [i, String(i)]));",
        "let s = ''; for (let i = 0; i < 3000; i++) s += String.fromCharCode(97 + i % 26); s.split('').join('-');",
    ] {
        let source = format!("exports.handler = async (event) => {{ {work} return event.Records[0].cf.request; }};");
        let bench = Bench::of(&text("f.js", &source), 1000);
        let mut most = 0;
        for call in 0..300 {
            let called = bench.run("viewer-request", &get("", "/")).await;
            called.outcome.unwrap();
            if call <= 20 {
                most = called.memory;
            }
            assert!(called.memory <= most + (1 << 20), "{work} {call}: {} after {most}", called.memory);
        }
    }
}

/// Blocks of every size are made, filled, grown, looked at again and dropped: none may lie in another, and none may be lost.
#[tokio::test]
async fn memory_that_is_given_back_is_given_again_whole() {
    let source = "let seed = 1;
    const next = (n) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n;
    const held = [];
    const size = () => [next(64), next(600), next(5000), next(70000)][next(4)];
    const whole = ([kind, n, what]) => kind === 0 ? what.every((byte) => byte === n % 251)
        : kind === 1 ? what.length === n && what === String.fromCharCode(97 + n % 26).repeat(n)
        : what.length === n % 3000 && what.every((member, i) => member === i);
    exports.handler = async (event) => {
        for (let round = 0; round < 400; round++) {
            const n = size(), kind = next(3), at = next(60);
            if (held[at] && !whole(held[at])) throw new Error(`block ${at} of ${held[at][1]} bytes was overwritten`);
            let what = kind === 0 ? new Uint8Array(n).fill(n % 251) : kind === 1 ? String.fromCharCode(97 + n % 26).repeat(n) : [];
            for (let i = 0; kind === 2 && i < n % 3000; i++) what.push(i);
            held[at] = [kind, n, what];
        }
        if (!held.every((block) => !block || whole(block))) throw new Error('a block was overwritten');
        const request = event.Records[0].cf.request;
        request.headers['x-ok'] = [{ value: 'yes' }];
        return request;
    };";
    let bench = Bench::of(&text("f.js", source), 1000);
    let mut most = 0;
    for call in 0..60 {
        let called = bench.run("viewer-request", &get("", "/")).await;
        called.outcome.unwrap();
        assert_eq!(called.exchange.request.headers["x-ok"], "yes");
        if call == 20 {
            most = called.memory + (8 << 20);
        }
        assert!(call < 20 || called.memory < most, "{call}: {}", called.memory);
    }
}
