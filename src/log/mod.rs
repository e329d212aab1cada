//! The ordered log: one thread gives every update its place in the hub-wide order.
//!
//! # The contract
//!
//! Workers know the log only by [`exchange::Exchange`] and [`history::History`]. A log in memory,
//! on disk or in a cluster fits behind these two without a change to workers. It promises:
//!
//! 1. **One order.** Every worker is handed every committed update, once, in the order of
//!    positions, and positions are handed over without gaps.
//! 2. **Commit first.** An update is committed as the store promises (for a durable store: it is
//!    on disk) before its position is published in [`exchange::Exchange::committed`], which happens
//!    before any worker is handed it, before any reader sees it and before its publisher is
//!    answered.
//! 3. **One answer.** Each publication that was taken from an inlet is answered exactly once, with
//!    the update or with the reason why it never becomes one. There is always room for the answer.
//! 4. **No waiting for workers.** A worker whose queue is full is passed over; it wakes the log
//!    when it made room, and what it misses stays in the tail for it.
//! 5. **Admission.** While some worker lags by more than the limits, admission is closed: workers
//!    keep publications back. The log wakes them when it opens.
//! 6. **Ids** are used once, where that is asked for: of publications that bring one id, from
//!    whatever publishers, one is committed, as long as an update that bears it is retained
//!    (`reused`).
//! 7. **History** shows exactly the committed updates that are retained, and tells a reader whose
//!    cursor was overtaken by retention so instead of skipping.
//!
//! `sequence` (places, cursors, lag) and `sequencer` (what one turn of the log does) are pure; the
//! threads are in `thread`.

pub mod bell;
pub mod embedded;
pub mod exchange;
pub mod history;
mod kept;
pub mod lane;
pub mod memory;
pub mod reused;
pub mod sequence;
pub mod sequencer;
mod sync;
pub mod thread;
