//! What Mercure is: topics, matchers, updates, publications and the bytes of an event.
//!
//! Pure: no runtime, files, clock, threads or randomness; what is needed of them is an argument.
//! The sentences of the specification are cited as `draft-08 #anchor` beside the code that
//! implements them.

pub mod events;
#[cfg(test)]
pub(crate) mod fixture;
pub mod frame;
pub mod gap;
pub mod hub_url;
pub mod id;
pub mod limits;
pub mod matcher;
pub mod new_update;
pub mod pattern;
pub mod patterns;
mod position;
pub mod publish;
pub mod subscribe;
pub mod text;
pub mod time;
pub mod topic;
pub mod topic_url;
pub mod update;
pub mod uuid;
