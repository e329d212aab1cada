pub mod app;
pub mod auth;
pub mod config;
pub mod http;
pub mod hub;
pub mod log;
pub mod protocol;
pub mod worker;
