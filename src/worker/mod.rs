//! Worker threads.
mod clock;
pub mod promise;
pub mod pump;
