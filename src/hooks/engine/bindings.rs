//! Bindings: the interfaces of `functions/wit/edge.wit` as traits.
//!
//! In: the WIT file, at build time. Out: a trait and a linker function for each interface. Never: an answer; `imports` gives them.

wasmtime::component::bindgen!({
    path: "functions/wit",
    inline: "
        package rimward:host;
        world host {
            include rimward:edge/imports@0.1.0;
            import rimward:edge/preview1@0.1.0;
        }
    ",
    imports: {
        "rimward:edge/fetch": async,
        "rimward:edge/dynamic": async,
        "rimward:edge/kv.put": async,
        "rimward:edge/kv.delete": async,
        "rimward:edge/crypto.random": trappable,
    },
});

pub use self::rimward::edge::*;
