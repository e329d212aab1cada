//! What a subscription request asks for.

/// Where a subscriber wants to resume (draft-08 #reconciliation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// Everything that is kept.
    Earliest,
    /// Everything after the update that bears this id.
    Id(Box<str>),
    /// Present, but empty: only new updates.
    Empty,
}
