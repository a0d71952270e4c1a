//! JavaScript on its engine: what the engine here adds to `build`.

use std::time::Instant;

use super::*;
use crate::hooks::build::{Builder, ENGINE, Source};
use crate::hooks::failure::Api;

/// Files of compiled code in the engine's directory.
fn artifacts(bench: &Bench) -> usize {
    let entries = std::fs::read_dir(bench.artifacts.path()).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "cwasm")).count()
}

#[tokio::test]
async fn javascript_functions_share_their_engine_and_nothing_else() {
    let bench = Bench::with_memory(64 << 20);
    let builder = Builder::new(ENGINE);
    let build = |text: &str| {
        let source = Source::Text { name: "index.js".into(), text: text.into() };
        builder.build(&source, Flavor::Auto, Mode::Extended).unwrap().component
    };
    let mut spec = spec("js");
    spec.memory = 64 << 20;
    let budget = Budget { memory: 64 << 20, cpu: Duration::from_secs(2), ..budget() };
    let one = build(
        "let calls = 0;
         exports.handler = async (event) => {
            const request = event.Records[0].cf.request;
            request.headers['x-calls'] = [{ value: String(++calls) }];
            request.headers['x-random'] = [{ value: String(Math.random()) }];
            return request;
         };",
    );
    let function = bench.load(&one, &spec);
    assert_eq!(function.api(), Api::LambdaEdge);
    assert_eq!(artifacts(&bench), 2, "the code and the component, apart");
    let mut random = Vec::new();
    for _ in 0..3 {
        let called = function.call(exchange(Event::ViewerRequest), budget).await;
        called.outcome.unwrap();
        let headers = &called.exchange.request.headers;
        assert_eq!(headers["x-calls"], "1", "each call has a fresh instance");
        random.push(headers["x-random"].clone());
    }
    random.dedup();
    assert_eq!(random.len(), 3, "{random:?}");

    let other = build("exports.handler = (event, context, callback) => callback(new TypeError('no'));");
    let began = Instant::now();
    let function = bench.load(&other, &spec);
    let took = began.elapsed();
    assert_eq!(artifacts(&bench), 3, "the code is compiled once");
    assert!(took < Duration::from_secs(5), "{took:?}");
    match function.call(exchange(Event::ViewerRequest), budget).await.outcome {
        Err(Failure::Execution(text)) => assert!(text.contains("TypeError: no"), "{text}"),
        other => panic!("{other:?}"),
    }
}
