//! The load test, tested: against the hub that it is made for, and against a proxy that breaks
//! what the hub says.

mod checker;
mod command;
mod common;
mod scenarios;
