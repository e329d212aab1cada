//! Updates: what publishers send and subscribers receive.

pub use super::position::Position;
use super::{
    frame::{Frame, FrameDraft},
    id::GENERATED_ID_LEN,
    time::UnixTime,
    topic::Topic,
};

/// An update on its way to the log: all that is known before it has its place.
#[derive(Debug)]
pub struct Draft {
    pub frame: FrameDraft,
    /// The canonical topic first; at least one.
    pub topics: Box<[Topic]>,
    pub private: bool,
    /// When the hub was given it, by the hub's clock.
    pub published: UnixTime,
}

impl Draft {
    /// Bytes that the draft holds; what the limits on waiting publications count.
    pub fn footprint(&self) -> usize {
        footprint(self.frame.len(), &self.topics)
    }

    /// The update that this draft becomes at its place. `generate_id` is asked where the
    /// publisher gave no id.
    pub fn place(
        self,
        position: Position,
        generate_id: impl FnOnce() -> [u8; GENERATED_ID_LEN],
    ) -> Update {
        let id_is_generated = self.frame.wants_id();
        Update {
            position,
            frame: self.frame.finish(generate_id),
            topics: self.topics,
            private: self.private,
            published: self.published,
            id_is_generated,
        }
    }
}

/// An update that has its place in the order.
#[derive(Debug)]
pub struct Update {
    pub position: Position,
    pub frame: Frame,
    pub topics: Box<[Topic]>,
    pub private: bool,
    /// When the hub was given it, by the hub's clock.
    pub published: UnixTime,
    /// The hub gave the id: it resolves to `position` without an index.
    pub id_is_generated: bool,
}

impl Update {
    pub fn id(&self) -> &str {
        self.frame.id()
    }

    /// Bytes that the update holds in memory; what every limit on kept updates counts.
    pub fn footprint(&self) -> usize {
        footprint(self.frame.len(), &self.topics)
    }
}

fn footprint(frame_len: usize, topics: &[Topic]) -> usize {
    /// The update itself, its reference counts and what the allocator adds.
    const OVERHEAD: usize = 192;
    let topics: usize = topics.iter().map(Topic::footprint).sum();
    OVERHEAD + frame_len + topics
}
