//! All integration tests in one binary.

// Files of the crate that the model includes find it where they expect it.
use petasos::protocol;

mod model;
mod sim;
