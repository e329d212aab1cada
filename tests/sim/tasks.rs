//! Requests that a worker serves: publications and subscriptions.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use petasos::{
    hub::{Carrier, Joiner, Moment, Outcome},
    legacy::uri_template::UriTemplate,
    protocol::{
        frame::{Fields, FrameDraft},
        hub_url::HubUrl,
        matcher::{Interest, Matcher, MatcherSet},
        pattern::Pattern,
        time::UnixTime,
        topic::Topic,
        update::Draft,
    },
    worker::{promise::PromiseId, pump::Start},
};

use super::{
    oracle::Selection,
    worker::Worker,
    world::{Event, World, interlude, trace, with},
};

/// A request under way.
#[derive(Debug)]
pub(crate) enum Task {
    Publish { publication: usize, promise: Option<PromiseId> },
    Subscribe { client: usize, promise: Option<PromiseId> },
}

struct TaskWaker {
    task: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().expect("no panic").push_back(self.task);
    }
}

impl Worker {
    /// Polls a task that is ready.
    pub(crate) fn task_step(&mut self) {
        let (id, task, ready) = with(|world| {
            let ready = Arc::clone(&world.ready[self.id]);
            let id = ready.lock().expect("no panic").pop_front().expect("picked for this");
            (id, world.tasks[id].take().expect("woken before it is done"), ready)
        });
        let waker = Waker::from(Arc::new(TaskWaker { task: id, ready }));
        let mut cx = Context::from_waker(&waker);
        let rest = match task {
            Task::Publish { publication, promise } => self.publish(publication, promise, &mut cx),
            Task::Subscribe { client, promise } => self.subscribe(client, promise, &mut cx),
        };
        with(|world| world.tasks[id] = rest);
    }

    /// Makes the pump look at what a task changed.
    fn nudge(&self) {
        self.exchange.port(self.id).bell.wake();
    }

    fn publish(
        &mut self,
        publication: usize,
        promise: Option<PromiseId>,
        cx: &mut Context<'_>,
    ) -> Option<Task> {
        let promise = promise.unwrap_or_else(|| {
            let (draft, now) = with(|world| (draft(world, publication), world.now));
            let promise = self.pump.publish(draft, Moment(now));
            trace("publish", self.id, publication as u64);
            self.nudge();
            promise
        });
        let Poll::Ready(answer) = self.pump.poll_published(promise, cx) else {
            return Some(Task::Publish { publication, promise: Some(promise) });
        };
        trace("answer", self.id, publication as u64);
        let visible = self.exchange.committed().0;
        with(|world| world.answered(publication, answer, visible));
        None
    }

    fn subscribe(
        &mut self,
        client: usize,
        promise: Option<PromiseId>,
        cx: &mut Context<'_>,
    ) -> Option<Task> {
        let (since, interest, form) = with(|world| {
            let client = &world.clients[client];
            (client.since.clone(), interest(client), client.form)
        });
        let Some(since) = since else {
            self.join(client, interest);
            return None;
        };
        let promise = promise.unwrap_or_else(|| {
            trace("start", self.id, client as u64);
            let promise = self.pump.start_replay(since, interest.clone(), form);
            self.nudge();
            promise
        });
        match self.pump.poll_start(promise, cx) {
            Poll::Pending => Some(Task::Subscribe { client, promise: Some(promise) }),
            Poll::Ready(start) => {
                self.join_replaying(client, interest, start);
                None
            }
        }
    }

    fn join(&mut self, client: usize, interest: Interest) {
        let now = Moment(with(|world| world.now));
        let key = self.pump.join(now, || open(client, interest, None));
        let visible = self.exchange.committed().0;
        with(|world| {
            world.clients[client].joined_at = visible;
            world.clients[client].live = true;
        });
        self.watch(client, key);
    }

    fn join_replaying(&mut self, client: usize, interest: Interest, start: Start) {
        if with(|world| world.clients[client].vanished) {
            return;
        }
        let now = Moment(with(|world| world.now));
        let Ok((located, chunk)) = start else {
            return with(|world| world.start_failed(client));
        };
        let joiner = open(client, interest, Some(&located.last_event_id));
        let key = self.pump.hub.join_replaying(joiner, chunk.events, chunk.through, now);
        self.watch(client, key);
    }

    /// The kernel tells the state of a socket that begins to be watched.
    fn watch(&mut self, client: usize, key: petasos::hub::Key) {
        trace("join", client, 0);
        with(|world| {
            let it = &mut world.clients[client];
            it.key = Some(key);
            if it.vanished {
                world.events[self.id].push_back(Event::Gone(client));
            } else if it.buffered < it.capacity {
                it.refused = false;
                world.events[self.id].push_back(Event::Writable(client));
            }
        });
        self.nudge();
    }
}

/// Sends the response head. What is not taken goes with the joiner.
fn open(client: usize, interest: Interest, last_event_id: Option<&str>) -> Joiner {
    let mut head = "HTTP/1.1 200 OK\r\n".to_owned();
    if let Some(id) = last_event_id {
        head += &format!("Mercure-Last-Event-ID: {id}\r\n");
    }
    head += "\r\n";
    let joiner = with(|world| {
        let World { clients, oracle, rng, now, .. } = world;
        let it = &mut clients[client];
        let outcome = it.send(head.as_bytes(), oracle, rng);
        it.offered_at = *now;
        it.note(outcome, *now);
        let sent = match outcome {
            Outcome::Whole => head.len(),
            Outcome::Short(sent) => sent,
            Outcome::Gone => 0,
        };
        Joiner {
            carrier: Carrier(client as i32),
            form: it.form,
            interest,
            deadline: Moment(it.deadline),
            unsent: Bytes::from(head.into_bytes().split_off(sent)),
        }
    });
    interlude();
    joiner
}

static HUB: LazyLock<HubUrl> = LazyLock::new(HubUrl::without_name);

pub(crate) fn draft(world: &World, publication: usize) -> Draft {
    let sent = &world.oracle.publications[publication];
    let fields = Fields {
        id: sent.id.as_deref(),
        event_type: sent.event_type,
        retry: None,
        data: &sent.data,
    };
    Draft {
        frame: FrameDraft::new(fields),
        topics: sent.topics.iter().map(|topic| Topic::new(topic, &HUB, &world.hasher)).collect(),
        private: sent.private,
        published: UnixTime::default(),
    }
}

fn interest(client: &super::client::Client) -> Interest {
    let set = |selection: &Selection| {
        let any = selection.any.then_some(Matcher::Any);
        let topics = selection.topics.iter().map(|&topic| Matcher::Exact(topic.into()));
        let pattern = |text: &&str| Pattern::parse(text, HUB.url()).expect("a pattern");
        let patterns = selection.patterns.iter().map(|text| Matcher::Pattern(pattern(text).into()));
        let template = |text: &&str| UriTemplate::parse(text).expect("a template");
        let templates =
            selection.templates.iter().map(|text| Matcher::Template(template(text).into()));
        Arc::new(topics.chain(patterns).chain(templates).chain(any).collect::<MatcherSet>())
    };
    Interest { matchers: set(&client.wanted.matchers), grants: set(&client.wanted.grants) }
}
