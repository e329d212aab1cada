//! Does what the tables say, and compares.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use crate::{
    challenge,
    http::{Answer, Event, listed},
    hub::{Hub, Role, encode, expand},
    row::{Challenge, Check, Delivery, Outcome, Request, Row, Scene, Twist, any_of, get, post},
    verdict::{Failure, Stop, Verdict, failed, skipped},
};

/// What came of a row.
#[derive(Debug, Clone)]
pub(crate) enum Outcomes {
    Passed,
    /// What failed; more than the first few are not looked for.
    Failed(Vec<Failure>),
    Skipped(String),
}

const FAILURES_MAX: usize = 3;

/// Runs a row.
pub(crate) fn row(hub: &Hub, row: &Row) -> Outcomes {
    let run = || {
        let missing = row.needs.iter().find_map(|need| hub.has(*need).err());
        match missing {
            Some(stop) => vec![stop],
            None => checks(hub, &row.checks),
        }
    };
    let stops = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let verdict: Verdict = failed("see above", "the suite to work", "a panic of its own");
        verdict.err().into_iter().collect()
    });
    let mut failures = Vec::new();
    let mut skipped = None;
    for stop in stops {
        match stop {
            Stop::Failed(failure) => failures.push(*failure),
            Stop::Skipped(why) => skipped = Some(why),
        }
    }
    match (failures.is_empty(), skipped) {
        (false, _) => Outcomes::Failed(failures),
        (true, Some(why)) => Outcomes::Skipped(why),
        (true, None) => Outcomes::Passed,
    }
}

fn checks(hub: &Hub, checks: &[Check]) -> Vec<Stop> {
    let mut stops = Vec::new();
    for check in checks {
        match check {
            Check::Answers(outcomes, requests) => {
                all(requests, &mut stops, |request| answers(hub, outcomes, request));
            }
            Check::Limits(outcomes, requests) => {
                all(requests, &mut stops, |request| limit(hub, outcomes, request));
            }
            Check::Scenes(scenes) => all(scenes, &mut stops, |it| scene(hub, it)),
            Check::Deliveries(forms) => all(&[forms], &mut stops, |it| deliveries(hub, it)),
            Check::Tokens(outcomes, twists) => {
                let roles = [Role::Publisher, Role::Subscriber];
                let cases: Vec<_> = twists.iter().flat_map(|it| roles.map(|r| (r, it))).collect();
                all(&cases, &mut stops, |(role, twist)| token(hub, outcomes, *role, twist));
            }
            Check::Function(function) => all(&[function], &mut stops, |it| it(hub)),
        }
    }
    stops
}

/// Goes through the cases of a table until it is hopeless.
fn all<T>(cases: &[T], stops: &mut Vec<Stop>, mut run: impl FnMut(&T) -> Verdict) {
    for case in cases {
        let is_hopeless = match stops.last() {
            Some(Stop::Failed(failure)) => failure.late || stops.len() >= FAILURES_MAX,
            Some(Stop::Skipped(_)) => true,
            None => false,
        };
        if is_hopeless {
            return;
        }
        stops.extend(run(case).err());
    }
}

fn answers(hub: &Hub, outcomes: &[Outcome], request: &Request) -> Verdict {
    let message = hub.message(request, &hub.topic());
    let answer = hub.client.answer(&message)?;
    is_one_of(&answer, outcomes, &message.to_string())
}

fn limit(hub: &Hub, outcomes: &[Outcome], request: &Request) -> Verdict {
    let message = hub.message(request, &hub.topic());
    let answer = match hub.client.answer(&message) {
        Ok(answer) if answer.status == 200 => {
            return skipped("what is much here is not too much for the hub");
        }
        // Nobody reads an answer while he is still sending.
        Err(Stop::Failed(failure)) if !failure.late => {
            return skipped("the connection ended before the request was sent");
        }
        other => other?,
    };
    is_one_of(&answer, outcomes, &message.to_string())
}

/// Whether an answer is one of those that are allowed.
pub(crate) fn is_one_of(answer: &Answer, outcomes: &[Outcome], sent: &str) -> Verdict {
    let is_it = |(status, expected): &Outcome| {
        *status == answer.status
            && match expected {
                Challenge::Any => true,
                Challenge::NoError => challenge::bearer(answer)
                    .is_some_and(|parameters| !parameters.contains_key("error")),
                Challenge::Error(code) => challenge::bearer(answer)
                    .is_some_and(|it| it.get("error").is_some_and(|error| error == code)),
            }
    };
    if outcomes.iter().any(is_it) { Ok(()) } else { failed(sent, any_of(outcomes), answer) }
}

fn token(hub: &Hub, outcomes: &[Outcome], role: Role, twist: &Twist) -> Verdict {
    let topic = hub.topic();
    let token = hub.twisted(role, twist, &topic);
    let request = match role {
        Role::Publisher => post("topic={t}"),
        Role::Subscriber => get("match={t}"),
    };
    let message = hub.message_as(&request, &topic, Some(&token));
    let answer = hub.client.answer(&message)?;
    is_one_of(&answer, outcomes, &format!("{message}, with {twist}"))
}

/// Publishes what the scene says and, at last, what ends it: a topic that the listener listens to
/// as well. Whatever should have come has come before that.
fn scene(hub: &Hub, scene: &Scene) -> Verdict {
    let topic = hub.topic();
    let mut listener = scene.listener.clone();
    let matchers = listener.body.as_mut().or(listener.query.as_mut()).expect("what to listen to");
    *matchers = format!("{matchers}&match={{t}}/the-end");
    let granted = scene.granted.as_ref();
    let token = granted.map(|topics| hub.granting(Role::Subscriber, topics, &topic));
    let message = match &token {
        Some(token) => hub.message_as(&listener, &topic, Some(token)),
        None => hub.message(&listener, &topic),
    };
    let mut stream = hub.client.open(&message)?;
    let mut expected = Vec::new();
    for (number, (form, heard)) in scene.updates.iter().enumerate() {
        let data = format!("{topic}#{number}");
        hub.publish(&format!("{}&data={}", expand(form, &topic), encode(&data)))?;
        if *heard {
            expected.push(data);
        }
    }
    let end = format!("{topic}#end");
    hub.publish(&format!("topic={topic}/the-end&data={}", encode(&end)))?;
    let mut events = stream.up_to(&end)?;
    // Who listens to everything hears others too.
    events.retain(|event| event.data.starts_with(&format!("{topic}#")));
    let came: Vec<_> = events.iter().map(|event| event.data.clone()).collect();
    if came == expected {
        return Ok(());
    }
    let form = |data: &String| {
        let number: usize = data.rsplit('#').next()?.parse().ok()?;
        Some(expand(&scene.updates.get(number)?.0, &topic))
    };
    let forms = |all: &[String]| match all.iter().filter_map(form).collect::<Vec<_>>() {
        none if none.is_empty() => "nothing".to_owned(),
        forms => format!("in this order: {}", forms.join(", ")),
    };
    let grants = granted.map_or(String::new(), |topics| format!(", may read {topics}"));
    let published = scene.updates.iter().map(|(form, _)| expand(form, &topic));
    let published = published.collect::<Vec<_>>().join(", ");
    let sent = format!("{message}{grants}; then published: {published}");
    failed(sent, forms(&expected), forms(&came))
}

fn deliveries(hub: &Hub, forms: &[Delivery]) -> Verdict {
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    for Delivery { form, event } in forms {
        let form = format!("topic={topic}&{}", expand(form, &topic));
        let id = hub.publish(&form)?;
        let expected = Event { id: Some(id), ..event.clone() };
        match stream.next()? {
            Some(came) if came == expected => {}
            Some(came) => return failed(format!("POST {form}"), expected, came),
            None => return failed(format!("POST {form}"), expected, "the end of the stream"),
        }
    }
    let left = {
        let end = format!("{topic}#end");
        hub.publish(&format!("topic={topic}&data={}", encode(&end)))?;
        stream.up_to(&end)?
    };
    if left.is_empty() { Ok(()) } else { failed(&stream.sent, "no more events", listed(&left)) }
}

/// For functions: a subscriber's token that may read these.
pub(crate) fn reader(hub: &Hub, topics: &[&str]) -> String {
    hub.token(Role::Subscriber, topics.iter().map(|topic| json!({ "match": topic })).collect())
}
