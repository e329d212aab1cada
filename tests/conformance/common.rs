//! What is shared with the other tests. They use more of it.
#![allow(dead_code)]

#[path = "../common/hub.rs"]
pub(crate) mod hub;
#[path = "../common/sse.rs"]
pub(crate) mod sse;
#[path = "../common/tokens.rs"]
pub(crate) mod tokens;
#[path = "../common/tools.rs"]
pub(crate) mod tools;
