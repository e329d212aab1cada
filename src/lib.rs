//! A Mercure hub, and clients for it.
//!
//! A program that publishes or subscribes finds what it needs in [`client`] (cargo feature
//! `client`), one that runs a hub inside of itself in [`Hub`] (cargo feature `hub`). Both are on by
//! default, together with `command`, which only the `petasos` binary needs.
//!
//! What follows is how Petasos is made.
//!
#![doc = include_str!("ARCHITECTURE.md")]

#[cfg(feature = "hub")]
pub mod admin;
#[cfg(feature = "hub")]
pub mod app;
#[cfg(feature = "hub")]
pub use app::{Hub, HubBuilder};
pub mod auth;
#[cfg(feature = "command")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "hub")]
pub mod config;
#[cfg(feature = "hub")]
pub mod http;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "hub")]
pub mod keyring;
pub mod legacy;
#[cfg(feature = "hub")]
pub mod log;
#[cfg(feature = "hub")]
pub mod metrics;
pub mod protocol;
#[cfg(feature = "trust")]
pub mod trust;
#[cfg(feature = "hub")]
pub mod worker;
