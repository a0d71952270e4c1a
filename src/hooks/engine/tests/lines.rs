//! Stacks of what was compiled to JavaScript.

use wasm_encoder::{ComponentSection, CustomSection};

use super::*;
use crate::hooks::build::{Builder, ENGINE, Source};
use crate::hooks::lines::{self, BYTES_MAX, SECTION};

const TEXT: &str = include_str!("../../lines/tests/two.js");
const MAP: &str = include_str!("../../lines/tests/two.js.map");
const COMPILED: &str = "at descend (two.js:35:53)\nat descend (two.js:37:28)\nat pick (two.js:39:25)\nat two.js:44:22\n\
                        at apply (two.js:28:18)\nat pick2 (two.js:44:10)\nat handler (two.js:49:27)";
const WRITTEN: &str = "at descend (lib/pick.ts:8:57)\nat descend (lib/pick.ts:10:32)\nat pick (lib/pick.ts:12:27)\n\
                       at two.ts:5:24\nat apply (lib/deep.ts:2:20)\nat pick (two.ts:5:12)\nat handler (two.ts:12:54)";

#[tokio::test]
async fn a_stack_has_the_lines_of_the_source() {
    let bench = Bench::with_memory(64 << 20);
    let source = Source::Text { name: "two.js".into(), text: TEXT.into() };
    let built = Builder::new(ENGINE).build_for(&source, Flavor::Auto, Mode::Extended, Some(&[])).unwrap().component;
    let with = |map: &[u8]| {
        let mut component = built.clone();
        CustomSection { name: SECTION.into(), data: map.into() }.append_to_component(&mut component);
        component
    };
    let spec = compiled::Function { memory: 64 << 20, ..spec("two") };
    let budget = Budget { memory: 64 << 20, cpu: Duration::from_secs(2), ..budget() };
    let map = lines::written(MAP.as_bytes(), "two.js", TEXT).unwrap();
    for (what, component, want) in [
        ("none", built.clone(), COMPILED),
        ("its own", with(&map), WRITTEN),
        ("of another file", with(&lines::written(MAP.as_bytes(), "other.js", TEXT).unwrap()), COMPILED),
        ("empty", with(b""), COMPILED),
        ("damaged", with(&map[1..]), COMPILED),
        ("too large", with(&[map.as_slice(), &vec![b' '; BYTES_MAX]].concat()), COMPILED),
    ] {
        let called = bench.load(&component, &spec).call(exchange(Event::ViewerRequest), budget).await;
        let failure = called.outcome.unwrap_err();
        assert!(
            matches!(&failure, Failure::Execution(words) if words == "RangeError: 🚧 no way to /way"),
            "{failure:?}"
        );
        let logs: Vec<_> = called.logs.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(logs, [want], "{what}");
    }
}
