#![no_main]

#[path = "../../tests/fuzz_targets/limits.rs"]
mod limits;
#[path = "../../tests/fuzz_targets/chunks.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
