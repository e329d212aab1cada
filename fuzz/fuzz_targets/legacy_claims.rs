//! See `harness::legacy_claims` for what must hold.

#![no_main]

use petasos_fuzz::harness;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    harness::legacy_claims(input);
});
