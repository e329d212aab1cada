//! What a peer has not taken yet. Exists only while a subscriber is behind.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::moment::Moment;
use crate::protocol::{
    frame::Form,
    update::{Position, Update},
};

/// A piece of a stream that waits to be sent.
#[derive(Debug)]
enum Piece {
    Update(Arc<Update>),
    /// A piece of history, and the place of its first update.
    Events(Bytes, Position),
    /// The rest of a response head, of a heartbeat, or of a frame.
    Bytes(Bytes),
}

impl Piece {
    fn bytes(&self, form: Form) -> &[u8] {
        match self {
            Piece::Update(update) => update.frame.bytes(form),
            Piece::Events(bytes, _) | Piece::Bytes(bytes) => bytes,
        }
    }
}

/// A queue of pieces, the first of which may be half sent.
#[derive(Debug)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that were sent.
    sent: usize,
    /// Bytes that wait.
    len: usize,
    form: Form,
    /// The peer took nothing when it was offered the first piece last; it has to become writable.
    pub(super) blocked: bool,
    /// Lies in the queue of outboxes that are to be flushed, or in a batch: not to be queued.
    pub(super) queued: bool,
    /// When the peer took something last, or when it began not to; `NEVER`: it was not offered
    /// anything of this yet.
    pub(super) progress_at: Moment,
}

impl Outbox {
    pub(super) fn new(form: Form, now: Moment) -> Self {
        Outbox {
            pieces: VecDeque::new(),
            sent: 0,
            len: 0,
            form,
            blocked: false,
            queued: false,
            progress_at: now,
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Frames and other pieces that wait, the half sent one included.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn push_update(&mut self, update: Arc<Update>) {
        self.len += update.frame.bytes(self.form).len();
        self.pieces.push_back(Piece::Update(update));
    }

    pub(super) fn push_events(&mut self, events: Bytes, first: Position) {
        self.len += events.len();
        self.pieces.push_back(Piece::Events(events, first));
    }

    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        self.pieces.push_back(Piece::Bytes(bytes));
    }

    /// What is to be sent next, in at most `count` slices.
    pub(super) fn slices(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().take(count).enumerate().map(|(i, piece)| {
            let bytes = piece.bytes(self.form);
            if i == 0 { &bytes[self.sent..] } else { bytes }
        })
    }

    /// The peer took `count` more bytes.
    pub(super) fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        self.len -= count;
        self.sent += count;
        while let Some(first) = self.pieces.front()
            && self.sent >= first.bytes(self.form).len()
        {
            self.sent -= first.bytes(self.form).len();
            self.pieces.pop_front();
        }
    }

    /// The place of the first update that waits: who is furthest behind has the earliest.
    pub(super) fn behind_since(&self) -> Option<Position> {
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Update(update) => Some(update.position),
            Piece::Events(_, first) => Some(*first),
            Piece::Bytes(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_what_was_not_sent() {
        let whole = b"abcdefghij".to_vec();
        for step in 1..=10 {
            let mut outbox = Outbox::new(Form::Bare, Moment(0));
            for piece in [&b"ab"[..], b"c", b"", b"defg", b"hij"] {
                outbox.push_bytes(Bytes::from_static(piece));
            }
            let mut sent: Vec<u8> = Vec::new();
            while outbox.len() > 0 {
                let offered: Vec<u8> = outbox.slices(2).flatten().copied().collect();
                let taken = step.min(offered.len());
                sent.extend(&offered[..taken]);
                assert!(taken > 0, "nothing empty is offered alone");
                outbox.advance(taken);
            }
            assert_eq!(sent, whole);
            assert_eq!(outbox.slices(9).count(), 0);
        }
    }
}
