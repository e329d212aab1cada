//! A small blocking client for applications and for `petasos publish` and `petasos subscribe`.
//!
//! [`Publisher`] sends updates; [`Subscriber`] is an iterator of events and of the errors between
//! them, and reconnects by itself after the last event that it has seen.

mod backoff;
mod http;
mod publisher;
mod sse;
mod subscriber;
#[cfg(test)]
mod tests;

pub use http::{ClientError, Refusal};
pub use publisher::{Publication, Publisher};
pub use sse::{Event, Parser, TooLong};
pub use subscriber::{Subscriber, Subscription};
