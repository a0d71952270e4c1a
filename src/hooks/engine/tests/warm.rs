//! Functions made warm before their first call.

use super::guest::Guest;
use super::*;

#[tokio::test]
async fn a_warm_instance_serves_the_first_call() {
    let bench = Bench::new();
    for (reuse, living) in [(1, 0), (10, 1)] {
        let function = bench.load(Guest::default().module(""), &compiled::Function { reuse, ..spec("f") });
        function.warm(exchange(Event::ViewerRequest), budget()).await.unwrap();
        assert_eq!(bench.engine.instances(), living);
        let called = function.call(exchange(Event::ViewerRequest), budget()).await;
        called.outcome.unwrap();
        assert_eq!(bench.engine.instances(), living, "the same instance, or none that stays");
    }
}

#[tokio::test]
async fn what_cannot_be_made_warm_leaves_nothing_behind() {
    let bench = Bench::new();
    for (start, want) in [("(unreachable)", "Execution"), ("(loop $l (br $l))", "Cpu")] {
        let function = bench.load(Guest::default().starting(start), &spec("f"));
        let failure = function.warm(exchange(Event::ViewerRequest), budget()).await.unwrap_err();
        assert!(format!("{failure:?}").starts_with(want), "{failure:?}");
        assert_eq!(bench.engine.instances(), 0);
    }
}
