pub mod log;
pub mod protocol;
