//! Black-box tests: the real binary, real sockets. One module for each subject; `common` starts
//! hubs and speaks HTTP and server-sent events by hand, so that nothing is hidden by a library.

mod authorization;
mod browser;
mod cli;
mod common;
mod cors;
mod curl;
mod http;
mod publish;
mod regression;
mod replay;
mod settings;
mod smoke;
mod streams;
mod subscribe;
