//! See `harness::jwks` for what must hold.

#![no_main]
#![allow(dead_code)]

#[path = "../../tests/common/harness.rs"]
mod harness;
#[path = "../../tests/common/sse.rs"]
mod sse;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    harness::jwks(input);
});
