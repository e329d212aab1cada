//! What must happen, worked out from the committed order and from what publishers and subscribers
//! can see. Knows nothing of how the hub does it.

use std::sync::Arc;

use petasos::{
    log::{exchange::Unavailable, history::UnknownId, memory::Retention, reused::ReusedIds},
    protocol::{frame::Form, subscribe::Since, update::Update},
    worker::submissions::{Outcome, PublishError, Published},
};

use super::scenario::Scenario;

/// A set of topic matchers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) any: bool,
    pub(crate) topics: Vec<&'static str>,
    /// Of [`PATTERNS`].
    pub(crate) patterns: Vec<&'static str>,
    /// Of [`TEMPLATES`].
    pub(crate) templates: Vec<&'static str>,
}

/// URL patterns, each with the topics that it selects.
pub(crate) const PATTERNS: [(&str, &[&str]); 8] = [
    ("/x/:n", &["/x/1", "/x/2"]),
    ("/x/(1|3)", &["/x/1"]),
    ("/.well-known/:n", &["a", "b"]),
    ("*://*:*/*1", &["/x/1"]),
    ("/y/:n", &[]),
    ("/x/2", &["/x/2"]),
    ("/:a/1", &["/x/1"]),
    ("/:a{/:b}?", &["a", "b", "/x/1", "/x/2"]),
];

/// URI templates, the same.
pub(crate) const TEMPLATES: [(&str, &[&str]); 8] = [
    ("/x/{n}", &["/x/1", "/x/2"]),
    ("/x/1{?q}", &["/x/1"]),
    ("{n}", &["a", "b"]),
    ("{+all}", &["a", "b", "/x/1", "/x/2"]),
    ("/{n}/1", &["/x/1"]),
    ("{/a,b}", &["/x/1", "/x/2"]),
    ("{n}b", &["b"]),
    ("/y/{n}", &[]),
];

impl Selection {
    fn covers(&self, topics: &[&'static str]) -> bool {
        let selects = |topic: &&str| {
            let patterns = PATTERNS.iter().filter(|(text, _)| self.patterns.contains(text));
            let templates = TEMPLATES.iter().filter(|(text, _)| self.templates.contains(text));
            self.topics.contains(topic)
                || patterns.chain(templates).any(|(_, topics)| topics.contains(topic))
        };
        self.any || topics.iter().any(selects)
    }
}

/// What a subscriber listens to and may read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) matchers: Selection,
    pub(crate) grants: Selection,
}

/// What a publisher sent, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) topics: Vec<&'static str>,
    pub(crate) private: bool,
    pub(crate) id: Option<String>,
    pub(crate) event_type: Option<&'static str>,
    pub(crate) data: String,
    /// The position that it was answered with.
    pub(crate) answer: Option<Result<u64, PublishError>>,
    position: Option<u64>,
    /// Appends, the time and the steps before it was sent.
    sent_after: usize,
    sent_at: u64,
    sent_in: u64,
}

#[derive(Debug)]
struct Committed {
    publication: usize,
    id: String,
    event: String,
    footprint: usize,
}

/// Retention after an append: history holds the positions after `start`, up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    committed: Vec<Committed>,
    held: Vec<Held>,
    retention: Retention,
    unknown: UnknownId,
    reused_ids: ReusedIds,
    publish_wait: u64,
    pub(crate) publications: Vec<Publication>,
    pub(crate) store_failed: bool,
    /// The last step in which the log was told that there is no room.
    pub(crate) without_room: u64,
    /// Ids whose search failed, and whose publishers were not told yet.
    pub(crate) failed_searches: Vec<String>,
}

impl Oracle {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let Scenario { retention, unknown, pump, .. } = *scenario;
        Oracle {
            committed: Vec::new(),
            held: vec![Held { start: 0, end: 0 }],
            retention,
            unknown,
            reused_ids: pump.reused_ids,
            publish_wait: pump.publish_wait.as_millis() as u64,
            publications: Vec::new(),
            store_failed: false,
            without_room: 0,
            failed_searches: Vec::new(),
        }
    }

    pub(crate) fn add_publication(
        &mut self,
        topics: Vec<&'static str>,
        private: bool,
        id: Option<String>,
        event_type: Option<&'static str>,
        padding: &str,
        (sent_at, sent_in): (u64, u64),
    ) -> usize {
        let sent_after = self.appends();
        let index = self.publications.len();
        self.publications.push(Publication {
            topics,
            private,
            id,
            event_type,
            data: format!("{index}\n{padding}"),
            answer: None,
            position: None,
            sent_after,
            sent_at,
            sent_in,
        });
        index
    }

    /// The last committed position.
    pub(crate) fn end(&self) -> u64 {
        self.committed.len() as u64
    }

    pub(crate) fn held(&self) -> Held {
        *self.held.last().expect("never empty")
    }

    /// How often something was appended so far.
    pub(crate) fn appends(&self) -> usize {
        self.held.len() - 1
    }

    pub(crate) fn id_at(&self, position: u64) -> &str {
        &self.committed[position as usize - 1].id
    }

    /// Bytes of the committed updates after `position`.
    pub(crate) fn bytes_after(&self, position: u64) -> u64 {
        self.committed[position as usize..].iter().map(|c| c.footprint as u64).sum()
    }

    /// The events of the committed updates after `position`.
    pub(crate) fn events_after(&self, position: u64) -> String {
        self.committed[position as usize..].iter().map(|c| c.event.as_str()).collect()
    }

    /// Bytes of the longest committed update, as a chunk.
    pub(crate) fn longest_frame(&self) -> usize {
        const CHUNK_OVERHEAD: usize = "fff\r\n\r\n".len();
        self.committed.iter().map(|c| c.event.len() + CHUNK_OVERHEAD).max().unwrap_or(0)
    }

    /// The store says that these are committed.
    pub(crate) fn append(&mut self, updates: &[Arc<Update>]) {
        for update in updates {
            let position = self.end() + 1;
            assert_eq!(update.position.0, position, "positions have no gaps");
            let event = String::from_utf8(update.frame.bytes(Form::Bare).to_vec()).unwrap();
            let publication = publication_of(&event);
            let id = update.id().to_owned();
            if self.reused_ids != ReusedIds::Accept {
                let retained = self.held().start + 1..=self.end();
                let is_used = retained.into_iter().any(|at| self.id_at(at) == id);
                assert!(!is_used, "{id} is committed twice, and the first one is retained");
            }
            let sent = &mut self.publications[publication];
            assert_eq!(sent.position, None, "publication {publication} is committed twice");
            assert!(
                sent.answer.is_none(),
                "publication {publication} is committed after its answer"
            );
            match &sent.id {
                Some(given) => assert_eq!(*given, id, "a given id is kept"),
                None => {
                    assert!(
                        self.committed.iter().all(|other| other.id != id
                            || self.publications[other.publication].id.is_some()),
                        "a generated id is new"
                    )
                }
            }
            let sent = &mut self.publications[publication];
            sent.position = Some(position);
            assert_eq!(event, expected_event(sent, &id), "the bytes are the publisher's");
            let footprint = update.footprint();
            self.committed.push(Committed { publication, id, event, footprint });
        }
        let Retention { updates, bytes } = self.retention;
        let Held { mut start, .. } = self.held();
        while (updates > 0 && self.end() - start > updates as u64)
            || (bytes > 0 && self.bytes_after(start) > bytes as u64 && start < self.end())
        {
            start += 1;
        }
        self.held.push(Held { start, end: self.end() });
    }

    /// The position of an event that a subscriber received.
    pub(crate) fn position_of(&self, event: &str) -> Result<u64, String> {
        let publication = publication_of(event);
        let sent = self.publications.get(publication).ok_or("an event nobody published")?;
        let position =
            sent.position.ok_or_else(|| format!("{publication} is delivered, not committed"))?;
        let expected = &self.committed[position as usize - 1].event;
        if expected == event {
            Ok(position)
        } else {
            Err(format!("not the bytes of {position}: {event:?}, but {expected:?}"))
        }
    }

    pub(crate) fn selects(&self, wanted: &Wanted, position: u64) -> bool {
        let sent = &self.publications[self.committed[position as usize - 1].publication];
        wanted.matchers.covers(&sent.topics)
            && (!sent.private || wanted.grants.covers(&sent.topics))
    }

    /// The first committed update after `position`, up to `through`, that is for the subscriber.
    pub(crate) fn next_for(&self, wanted: &Wanted, position: u64, through: u64) -> Option<u64> {
        (position + 1..=through.min(self.end())).find(|&at| self.selects(wanted, at))
    }

    /// All starts that explain `header`, for a look-up that was made after `appends` appends or
    /// more, up to now.
    pub(crate) fn starts(&self, since: &Since, appends: usize, header: &str) -> Vec<u64> {
        let mut starts: Vec<u64> = self.held[appends..]
            .iter()
            .map(|&held| self.locate(held, since))
            .filter(|(_, name)| name == header)
            .map(|(start, _)| start)
            .collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    fn locate(&self, held: Held, since: &Since) -> (u64, String) {
        const EARLIEST: &str = "earliest";
        let all = (held.start, EARLIEST.to_owned());
        let nothing = if held.end > held.start {
            (held.end, self.id_at(held.end).to_owned())
        } else {
            (held.end, EARLIEST.to_owned())
        };
        match since {
            Since::Earliest => all,
            Since::Empty => nothing,
            Since::Unknown => match self.unknown {
                UnknownId::All => all,
                UnknownId::Live => nothing,
            },
            Since::Id(id) => {
                let first = (held.start + 1..=held.end).find(|&at| *self.id_at(at) == **id);
                match (first, self.unknown) {
                    (Some(position), _) => (position, id.to_string()),
                    (None, UnknownId::All) => all,
                    (None, UnknownId::Live) => nothing,
                }
            }
        }
    }

    /// A publisher got its answer. `visible`: the position that counts as committed for everybody.
    pub(crate) fn answered(
        &mut self,
        publication: usize,
        outcome: Outcome,
        visible: u64,
        now: u64,
    ) {
        let sent = self.publications[publication].clone();
        assert!(sent.answer.is_none(), "publication {publication} is answered twice");
        let answer = match outcome {
            Ok(Published::Now(update)) => {
                let event = String::from_utf8(update.frame.bytes(Form::Bare).to_vec()).unwrap();
                assert_eq!(publication_of(&event), publication, "the answer is somebody else's");
                let position = sent.position;
                assert_eq!(position, Some(update.position.0), "answered before it was committed");
                assert!(update.position.0 <= visible, "answered before joiners know of it");
                Ok(update.position.0)
            }
            Ok(Published::Before(id)) => {
                assert_eq!(self.reused_ids, ReusedIds::First);
                Ok(self.first_use(&sent, &id, visible))
            }
            Err(error) => {
                self.check_refusal(&sent, &error, visible, now);
                Err(error)
            }
        };
        if !matches!(&answer, Ok(position) if sent.position == Some(*position)) {
            assert_eq!(sent.position, None, "refused, and yet committed");
        }
        self.publications[publication].answer = Some(answer);
    }

    fn check_refusal(&mut self, sent: &Publication, error: &PublishError, visible: u64, now: u64) {
        let is_true = match error {
            PublishError::Overloaded => sent.sent_at + self.publish_wait <= now,
            PublishError::Unavailable(Unavailable::Failed) => self.store_failed,
            PublishError::Unavailable(Unavailable::NoRoom) => self.without_room >= sent.sent_in,
            PublishError::Unreadable => {
                let failed =
                    self.failed_searches.iter().position(|id| Some(id) == sent.id.as_ref());
                failed.map(|index| self.failed_searches.swap_remove(index)).is_some()
            }
            PublishError::ReusedId { id } => {
                self.first_use(sent, id, visible);
                self.reused_ids == ReusedIds::Refuse
            }
        };
        assert!(is_true, "at {now}, refused for no reason: {error:?} {sent:?}");
    }

    /// The update for which a publication was not published again: it was retained at some moment
    /// since that was sent, or came only then; and joiners know of it.
    fn first_use(&self, sent: &Publication, id: &str, visible: u64) -> u64 {
        assert_eq!(sent.id.as_deref(), Some(id), "the id of another one");
        let came_after = self.held[sent.sent_after].end;
        let was_there = |at: u64| {
            came_after < at || self.held[sent.sent_after..].iter().any(|held| held.start < at)
        };
        let first = (1..=visible).find(|&at| self.id_at(at) == id && was_there(at));
        first.unwrap_or_else(|| panic!("{id} is not in use: {sent:?}"))
    }
}

fn publication_of(event: &str) -> usize {
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    data.parse().unwrap_or_else(|_| panic!("no number in {event:?}"))
}

fn expected_event(sent: &Publication, id: &str) -> String {
    let mut event = String::new();
    if let Some(event_type) = sent.event_type {
        event += &format!("event: {event_type}\n");
    }
    for line in sent.data.split('\n') {
        event += &format!("data: {line}\n");
    }
    event + &format!("id: {id}\n\n")
}
