//! What may be loaded, and what is said of the rest.

use super::*;

#[tokio::test]
async fn a_missing_grant_is_named_with_the_key_that_adds_it() {
    let bench = Bench::new();
    for (interface, function, key) in [
        ("secrets", "get", "grants.secrets"),
        ("kv", "get", "grants.kv"),
        ("geo", "lookup", "grants.geo"),
        ("fetch", "send", "grants.fetch"),
    ] {
        let signature = match interface {
            "secrets" | "geo" => "(param i32 i32 i32)",
            "kv" => "(param i32 i32 i32 i32 i32)",
            _ => "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
        };
        let mut guest = Guest::default();
        guest.import(interface, function, signature);
        let error = bench.refused(guest.module(""), &spec("wants"));
        assert!(error.contains("'wants'"), "{error}");
        assert!(error.contains(&format!("rimward:edge/{interface}@0.1.0")), "{error}");
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn what_is_no_function_is_refused_with_words() {
    let bench = Bench::new();
    let import = |name: &str| format!(r#"(component (import "{name}" (instance (export "f" (func)))))"#);
    for (file, want) in [
        (import("wasi:sockets/tcp@0.2.0"), "imports 'wasi:sockets/tcp@0.2.0': WASI is not offered"),
        (import("wasi:http/types@0.2.0"), "imports 'wasi:http/types@0.2.0': a wasi:http component is an origin"),
        (import("rimward:edge/log@0.2.0"), "this host offers 0.1.x"),
        (import("rimward:edge/shell@0.1.0"), "no such interface"),
        (import("other:thing/x"), "no such interface"),
        ("(component)".into(), "exports no handler"),
        ("(module)".into(), "must export memory, and a handler"),
        ("(module (memory".into(), "not a usable wasm file"),
        ("\0asm\u{1}\0\0\0garbage".into(), "not a usable wasm file"),
        (String::new(), "not a usable wasm file"),
    ] {
        let error = bench.refused(file, &spec("odd"));
        assert!(error.contains(want), "{error}");
    }
}

#[tokio::test]
async fn a_function_of_a_later_patch_version_loads() {
    let bench = Bench::new();
    for version in ["0.1.0", "0.1.7"] {
        let component = format!(
            r#"(component
              (import "rimward:edge/call@{version}" (instance $call (export "tls" (func))))
              (core module $m (func (export "h") (result i32) (i32.const 0)) (memory (export "memory") 1))
              (core instance $i (instantiate $m))
              (func (export "on-viewer-request") (result (result (error string)))
                (canon lift (core func $i "h") (memory $i "memory"))))"#
        );
        // The interface is found; what it lacks is named.
        let error = bench.refused(component, &spec("later"));
        assert!(error.contains("tls"), "{error}");
    }
    let component = r#"(component
      (import "rimward:edge/log@0.1.3" (instance $log))
      (core module $m (func (export "h") (result i32) (i32.const 0)) (memory (export "memory") 1))
      (core instance $i (instantiate $m))
      (func (export "on-viewer-request") (result (result (error string)))
        (canon lift (core func $i "h") (memory $i "memory"))))"#;
    let function = bench.load(component, &spec("later"));
    call(&function).await.outcome.unwrap();
    assert!(!function.handles(Event::OriginRequest));
}

#[test]
fn a_file_has_a_version_and_must_fit() {
    let bench = Bench::new();
    let function = good(&bench);
    assert_eq!(function.version().len(), 12);
    assert_eq!(function.name(), "good");
    let mut small = spec("small");
    small.memory = 64 << 10;
    let error = bench.refused(Guest::default().module(""), &small);
    assert!(error.contains("begins with 131072 bytes of memory"), "{error}");
}
