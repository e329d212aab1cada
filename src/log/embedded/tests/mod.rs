//! The history as a whole, on a disk that can lose its power, fail, rot and be full.

mod disk;
mod power;
mod replay;
mod rng;
mod room;
mod rot;
mod run;
