//! What Mercure is: topics, matchers, updates, publications and the bytes of an event.
//!
//! Pure: no runtime, files, clock, threads or randomness; what is needed of them is an argument.
//! The sentences of the specification are cited as `draft-08 #anchor` beside the code that
//! implements them.

pub mod frame;
pub mod id;
pub mod limits;
pub mod matcher;
pub mod new_update;
mod position;
pub mod publish;
pub mod reserved;
pub mod subscribe;
pub mod text;
pub mod topic;
pub mod update;
pub mod uuid;
