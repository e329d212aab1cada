//! How Petasos is made.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod app;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod http;
pub mod hub;
pub mod keyring;
pub mod log;
pub mod protocol;
pub mod trust;
pub mod worker;
