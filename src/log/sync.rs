//! What the hand-over between threads is built on. The model test puts its own in place of these.

pub(crate) use crossbeam::queue::ArrayQueue;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
