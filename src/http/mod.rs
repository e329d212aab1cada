//! HTTP/1.1 as bytes in and bytes out (RFC 9110, RFC 9112): nothing here reads or writes a socket.
//!
//! Whoever drives a connection keeps one buffer of what was received and asks, in this order:
//!
//! 1. [`reader::HeadReader::read`] until there is a [`head::Head`],
//! 2. [`route::route`] what the request is for,
//! 3. [`body::BodyReader`] until the body is there, where the request has one
//!    ([`response::CONTINUE`] first if [`head::Head::expects_continue`]),
//! 4. [`form::pairs`] what it says,
//! 5. [`response::Response::encode`], or [`stream::encode_start`] for a subscriber, what to send.
//!
//! Any [`refusal::Refusal`] on the way ends the connection after its answer: where one message
//! ends and the next begins is then unknown. A connection also ends when an answer was given
//! without reading the request's body ([`response::Response::close`]).
//!
//! Architecture invariant: this folder knows neither `protocol` nor `auth`, and is pure: no
//! runtime, files, clock, threads or randomness.

pub mod body;
pub mod cookie;
pub mod cors;
pub mod date;
pub mod fields;
pub mod form;
pub mod forwarded;
mod framing;
pub mod head;
pub mod links;
pub mod media;
pub mod pages;
pub mod reader;
pub mod refusal;
pub mod response;
pub mod route;
pub mod status;
pub mod stream;
mod target;
#[cfg(test)]
mod tests;
