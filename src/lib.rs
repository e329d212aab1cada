pub mod auth;
pub mod http;
pub mod hub;
pub mod log;
pub mod protocol;
pub mod worker;
