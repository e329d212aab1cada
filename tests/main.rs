//! Black-box tests: the real binary, real sockets; and the seeded simulator, which runs the
//! production hub, pump and log without either. One module for each subject; `common` starts hubs
//! and speaks HTTP and server-sent events by hand, so that nothing is hidden by a library.

// Files of the crate that the model includes find it where they expect it.
use petasos::{hub, metrics, protocol};

mod absent;
mod admin;
mod alerts;
mod authorization;
mod cli;
mod clients;
mod common;
mod cookies;
mod cors;
mod discovery;
mod doctor;
mod drivers;
mod drop_in;
mod durable;
mod embedding;
mod examples;
mod explain;
mod fuzz;
mod gaps;
mod http;
mod keys;
mod legacy;
mod library;
mod load;
mod minting;
mod model;
mod overload;
mod packages;
mod pasted;
mod patterns;
mod ports;
mod proxies;
mod publish;
mod query;
mod regression;
mod reload;
mod replay;
mod requirements;
mod reused;
mod settings;
mod shutdown;
mod sim;
mod slow;
mod smoke;
mod streams;
mod subscribe;
mod tables;
mod tidy;
mod unix;
