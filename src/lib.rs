pub mod http;
pub mod protocol;
