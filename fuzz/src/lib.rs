//! The harnesses, which the fuzzers share with `tests/fuzz.rs`, built once for all of them.

#[path = "../../tests/common/harness/mod.rs"]
pub mod harness;
#[allow(dead_code)]
#[path = "../../tests/common/sse.rs"]
mod sse;
