//! What Mercure was before version 1.0 (draft-07), for the clients that still speak it: all of it
//! is here, below everything else, so that it can be taken away one day with the few lines that
//! call it.

pub mod claims;
pub mod uri_template;

/// Which of the old protocols is spoken beside the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// That of hubs before 0.10: who may publish anything may publish public updates on all topics,
    /// and the last event id may be in a parameter `Last-Event-ID`.
    V7,
    V8,
}

/// The cookie that may hold a token, besides that of today.
pub const COOKIE_NAME: &str = "mercureAuthorization";
/// The parameter that may.
pub const AUTHORIZATION: &str = "authorization";
/// The parameters that hold topic selectors.
pub const TOPIC: &str = "topic";
/// The field that tells where a stream resumes, besides that of today.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";
