//! The topics of a run, and their series.

/// Topics by number, and how the publisher's connections share them.
#[derive(Debug)]
pub(crate) struct Topics {
    names: Box<[Box<str>]>,
    /// Connections that publish to the same topic; each has a series of its own there.
    spread: u32,
}

impl Topics {
    pub(crate) fn new(count: usize, spread: usize) -> Topics {
        // Of this run alone: an earlier one may have left updates in the hub's history.
        let run = std::process::id() ^ crate::machine::monotonic_ns() as u32;
        let names = (0..count).map(|i| format!("https://example.com/{run:x}/{i}").into()).collect();
        Topics { names, spread: spread as u32 }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, topic: u32) -> &str {
        &self.names[topic as usize]
    }

    pub(crate) fn series_len(&self) -> usize {
        self.names.len() * self.spread as usize
    }

    /// How many connections publish to one topic.
    pub(crate) fn spread(&self) -> usize {
        self.spread as usize
    }

    /// The series of a topic on one of the connections that publish to it.
    pub(crate) fn series(&self, topic: u32, connection: usize) -> u32 {
        topic * self.spread + connection as u32 % self.spread
    }

    pub(crate) fn series_of(&self, topic: u32) -> std::ops::Range<u32> {
        topic * self.spread..(topic + 1) * self.spread
    }
}
