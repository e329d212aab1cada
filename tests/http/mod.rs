//! HTTP/1.1 as the hub speaks it, on connections that are not streams.

mod bodies;
mod limits;
mod requests;
mod smuggling;
mod timeouts;
