//! Chapter 7: what subscribers get that come back.

use crate::{
    check::reader,
    http::{Event, Stream, listed},
    hub::{Hub, Role, encode, word},
    row::{Need, Request, Row, get, may, must, should},
    verdict::{Verdict, ensure, skipped},
};

const SECTION: &str = "reconciliation";

pub(super) fn rows() -> Vec<Row> {
    [cursors(), replays(), history()].into_iter().flatten().collect()
}

fn cursors() -> Vec<Row> {
    vec![
        must(SECTION, "`last_event_id` is taken, as the field `Last-Event-ID` is")
            .needs(Need::History)
            .function(|hub| {
                let (topic, ids) = published(hub, 3)?;
                for request in [by_parameter(&topic, &ids[0]), by_field(&topic, &ids[0])] {
                    resumes(hub, &request, &ids[0], &["1", "2"])?;
                }
                Ok(())
            }),
        must(SECTION, "the field has precedence over the parameter").needs(Need::History).function(
            |hub| {
                let (topic, ids) = published(hub, 4)?;
                for (field, parameter, expected) in [(2, 0, &["3"][..]), (0, 2, &["1", "2", "3"])] {
                    let request = by_parameter(&topic, &ids[parameter]);
                    let request = request.field(FIELD, &ids[field]);
                    resumes(hub, &request, &ids[field], expected)?;
                }
                Ok(())
            },
        ),
        must(
            SECTION,
            "the answer to a cursor, whatever it is, names what comes before the first event",
        )
        .function(every_cursor_is_answered),
        must(SECTION, "an id is found again, whatever characters it has")
            .needs(Need::History)
            .needs(Need::OwnIds)
            .function(ids_of_all_kinds),
    ]
}

const FIELD: &str = "Last-Event-ID";
const ANSWER: &str = "Mercure-Last-Event-ID";

/// Publishes `0..count` to a topic of their own: the topic, and their ids.
fn published(hub: &Hub, count: usize) -> Verdict<(String, Vec<String>)> {
    let topic = hub.topic();
    let ids = hub.publish_numbers(&topic, 0..count)?;
    Ok((topic, ids))
}

fn by_parameter(topic: &str, id: &str) -> Request {
    get(format!("match={topic}&last_event_id={}", encode(id)))
}

fn by_field(topic: &str, id: &str) -> Request {
    get(format!("match={topic}")).field(FIELD, id)
}

/// All that a stream brings before what is published now, to a topic that it listens to; but for
/// what was published so before.
fn up_to_now(hub: &Hub, stream: &mut Stream, topic: &str) -> Verdict<Vec<Event>> {
    const NOW: &str = "now ";
    let end = format!("{NOW}{}", hub.topic());
    hub.publish(&format!("topic={}&data={}", encode(topic), encode(&end)))?;
    let mut came = stream.up_to(&end)?;
    came.retain(|event| !event.data.starts_with(NOW));
    Ok(came)
}

/// Whether a stream brought these data, and nothing else.
fn brought(stream: &Stream, came: &[Event], data: &[impl AsRef<str>]) -> Verdict {
    let expected: Vec<_> = data.iter().map(AsRef::as_ref).collect();
    let is_right = came.iter().map(|event| &event.data).eq(&expected);
    ensure(is_right, &stream.sent, format!("the data {}", expected.join(", ")), listed(came))
}

/// Whether the answer names this event as the one before the first.
fn told(stream: &Stream, id: &str) -> Verdict {
    let told = stream.head.field(ANSWER);
    ensure(told == Some(id), &stream.sent, format!("{ANSWER}: {id}"), format!("{told:?}"))
}

/// The topic that a request listens to.
fn topic_of(request: &Request) -> &str {
    let query = request.query.as_deref().unwrap_or_default();
    query.trim_start_matches("match=").split('&').next().unwrap_or_default()
}

/// A subscriber with a cursor gets these data, and is told this id.
fn resumes(hub: &Hub, request: &Request, id: &str, data: &[&str]) -> Verdict {
    let mut stream = hub.open(request)?;
    told(&stream, id)?;
    let came = up_to_now(hub, &mut stream, topic_of(request))?;
    brought(&stream, &came, data)
}

/// Names of cursors that nobody gave to an update.
const UNKNOWN: [&str; 4] = ["unknown", "urn:uuid:00000000-0000-4000-8000-000000000000", "0", "#0"];

fn every_cursor_is_answered(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let id = hub.publish(&format!("topic={topic}&data=x"))?;
    let own = format!("{}-nobody-gave-this", word(&topic));
    for cursor in ["", "earliest", &id, &own].into_iter().chain(UNKNOWN) {
        for request in [by_parameter(&topic, cursor), by_field(&topic, cursor)] {
            let stream = hub.open(&request)?;
            let is_right = stream.head.field(ANSWER).is_some_and(|told| !told.is_empty());
            ensure(is_right, &stream.sent, format!("a field {ANSWER}"), &stream.head)?;
        }
    }
    Ok(())
}

fn ids_of_all_kinds(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let word = word(&topic);
    let ids = ["a b", "x#y&z=%C3", "\u{e9}\u{1f600}", "urn:x:y", "1", "Earliest", "\"q\\"];
    let ids = ids.map(|id| format!("{id}/{word}"));
    for (number, id) in ids.iter().enumerate() {
        hub.publish(&format!("topic={topic}&data={number}&id={}", encode(id)))?;
    }
    hub.publish(&format!("topic={topic}&data=last"))?;
    for (number, id) in ids.iter().enumerate() {
        for request in [by_parameter(&topic, id), by_field(&topic, id)] {
            let mut stream = hub.open(&request)?;
            let next = match number + 1 {
                number if number == ids.len() => "last".to_owned(),
                number => number.to_string(),
            };
            told(&stream, id)?;
            let came = stream.next()?.map(|event| event.data);
            ensure(came == Some(next.clone()), &stream.sent, next, format!("{came:?}"))?;
        }
    }
    Ok(())
}

fn replays() -> Vec<Row> {
    vec![
        should(SECTION, "all that was published after the cursor is sent, once, in its order")
            .function(everything_after_an_id_is_sent),
        should(SECTION, "what is replayed goes over into what is new, without a gap")
            .function(replays_go_over_into_what_is_new),
        should(SECTION, "who is cut again and again, and comes back each time, misses nothing")
            .function(cut_streams_miss_nothing),
        should(SECTION, "an id is a place in the one order of the hub, whatever its topic")
            .needs(Need::History)
            .function(cursors_are_not_for_one_topic),
        must("authorization-on-event-replay", "what is replayed is judged by the token of now")
            .needs(Need::History)
            .function(replays_are_judged_anew),
        must(SECTION, "matchers select of what is replayed as they do of what is new")
            .needs(Need::History)
            .function(replays_are_selected),
    ]
}

fn everything_after_an_id_is_sent(hub: &Hub) -> Verdict {
    const COUNT: usize = 12;
    let topic = hub.topic();
    let mut live = hub.open(&get(format!("match={topic}")))?;
    let ids = hub.publish_numbers(&topic, 0..COUNT)?;
    let order = up_to_now(hub, &mut live, &topic)?;
    ensure(order.len() == COUNT, &live.sent, format!("{COUNT} events"), listed(&order))?;
    for (number, id) in ids.iter().enumerate() {
        let mut stream = hub.open(&by_parameter(&topic, id))?;
        let came = up_to_now(hub, &mut stream, &topic)?;
        let expected = &order[number + 1..];
        ensure(came == expected, &stream.sent, listed(expected), listed(&came))?;
        told(&stream, id)?;
    }
    Ok(())
}

fn replays_go_over_into_what_is_new(hub: &Hub) -> Verdict {
    const OLD: usize = 40;
    let topic = hub.topic();
    let ids = hub.publish_numbers(&topic, 0..OLD)?;
    let mut stream = hub.open(&by_field(&topic, &ids[0]))?;
    hub.publish_numbers(&topic, OLD..OLD + 20)?;
    let came = up_to_now(hub, &mut stream, &topic)?;
    let expected: Vec<_> = (1..OLD + 20).map(|number| number.to_string()).collect();
    brought(&stream, &came, &expected)
}

fn cut_streams_miss_nothing(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut last = hub.publish(&format!("topic={topic}&data=first"))?;
    let (mut published, mut received) = (0, 0);
    for _ in 0..8 {
        let mut stream = hub.open(&by_field(&topic, &last))?;
        hub.publish_numbers(&topic, published..published + 2)?;
        published += 2;
        // The last one is on its way when the stream is cut.
        while received < published - 1 {
            let event = stream.next()?;
            let is_next = event.as_ref().is_some_and(|it| it.data == received.to_string());
            let came = event.as_ref().map_or("the end".to_owned(), Event::to_string);
            ensure(is_next, &stream.sent, format!("the data {received}"), came)?;
            received += 1;
            last = event.and_then(|event| event.id).unwrap_or_default();
        }
        drop(stream);
        hub.publish_numbers(&topic, published..published + 2)?;
        published += 2;
    }
    let mut stream = hub.open(&by_field(&topic, &last))?;
    let came = up_to_now(hub, &mut stream, &topic)?;
    let left: Vec<_> = (received..published).map(|number| number.to_string()).collect();
    brought(&stream, &came, &left)
}

fn cursors_are_not_for_one_topic(hub: &Hub) -> Verdict {
    let (one, other) = (hub.topic(), hub.topic());
    hub.publish(&format!("topic={one}&data=before"))?;
    let id = hub.publish(&format!("topic={other}&data=other"))?;
    hub.publish(&format!("topic={one}&data=later"))?;
    resumes(hub, &by_parameter(&one, &id), &id, &["later"])
}

fn replays_are_judged_anew(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let (a, b) = (format!("{topic}/a"), format!("{topic}/b"));
    let first = hub.publish(&format!("topic={a}&data=first"))?;
    for (form, data) in [
        (format!("topic={a}&private"), "private a"),
        (format!("topic={b}&private"), "private b"),
        (format!("topic={a}"), "public a"),
        (format!("topic={a}&topic={b}&private"), "private ab"),
        (format!("topic={topic}/c&topic={b}&private"), "private cb"),
    ] {
        hub.publish(&format!("{form}&data={}", encode(data)))?;
    }
    let query = format!("match={a}&match={b}&last_event_id={}", encode(&first));
    for (token, expected) in [
        (reader(hub, &[&a]), &["private a", "public a", "private ab"][..]),
        (reader(hub, &[&b]), &["private b", "public a", "private ab", "private cb"]),
        (
            hub.full_token(Role::Subscriber),
            &["private a", "private b", "public a", "private ab", "private cb"],
        ),
        (hub.blind_token(), &["public a"]),
    ] {
        let mut stream = hub.open_as(&get(&query), &token)?;
        let came = up_to_now(hub, &mut stream, &a)?;
        brought(&stream, &came, expected)?;
    }
    if hub.anonymous() {
        let message = hub.message_as(&get(&query), &topic, None);
        let mut stream = hub.client.open(&message)?;
        let came = up_to_now(hub, &mut stream, &a)?;
        brought(&stream, &came, &["public a"])?;
    }
    Ok(())
}

fn replays_are_selected(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let first = hub.publish(&format!("topic={topic}/end&data=first"))?;
    for (number, name) in ["a/1", "b", "a/2/3", "c&topic={t}/a/4", "a/5", "b"].iter().enumerate() {
        let form = format!("topic={topic}/{name}&data={number}").replace("{t}", &topic);
        hub.publish(&form)?;
    }
    let cursor = encode(&first);
    let query = format!(
        "match_urlpattern={topic}/a/:id&match={topic}/b&match={topic}/b&match={topic}/end&\
         last_event_id={cursor}"
    );
    let mut stream = hub.open(&get(query))?;
    let came = up_to_now(hub, &mut stream, &format!("{topic}/end"))?;
    brought(&stream, &came, &["0", "1", "3", "4", "5"])
}

fn history() -> Vec<Row> {
    vec![
        may(SECTION, "`earliest` brings all that the hub has, and is its own answer")
            .function(earliest_brings_everything),
        must(SECTION, "an id that is not there is not taken for one that is")
            .function(unknown_ids_are_told),
        must(SECTION, "of updates with the same id the first counts, and all after it are sent")
            .needs(Need::History)
            .needs(Need::OwnIds)
            .function(repeated_ids_mean_the_first),
    ]
}

fn earliest_brings_everything(hub: &Hub) -> Verdict {
    let (topic, _) = published(hub, 3)?;
    let mut stream = hub.open(&by_parameter(&topic, "earliest"))?;
    let came = up_to_now(hub, &mut stream, &topic)?;
    if came.is_empty() {
        return skipped("the hub ignores `earliest`");
    }
    brought(&stream, &came, &["0", "1", "2"])?;
    told(&stream, "earliest")
}

/// A hub may send all that it has, or only what is new; it must say which.
fn unknown_ids_are_told(hub: &Hub) -> Verdict {
    let (topic, _) = published(hub, 3)?;
    let unknown = format!("{}-nobody-gave-this", word(&topic));
    for request in [by_parameter(&topic, &unknown), by_field(&topic, &unknown)] {
        let mut stream = hub.open(&request)?;
        let told = stream.head.field(ANSWER).unwrap_or_default().to_owned();
        let came = up_to_now(hub, &mut stream, &topic)?;
        let is_all = came.iter().map(|event| event.data.as_str()).eq(["0", "1", "2"]);
        let is_right = told != unknown && (came.is_empty() || (is_all && told == "earliest"));
        let expected = format!("{ANSWER}: earliest and all that there is, or another id");
        let came = format!("{ANSWER}: {told}, and {}", listed(&came));
        ensure(is_right, &stream.sent, expected, came)?;
    }
    Ok(())
}

fn repeated_ids_mean_the_first(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let twice = format!("twice-{}", word(&topic));
    for form in ["data=0", "data=1&id={id}", "data=2", "data=3&id={id}", "data=4&id={id}", "data=5"]
    {
        hub.publish(&format!("topic={topic}&{}", form.replace("{id}", &encode(&twice))))?;
    }
    resumes(hub, &by_parameter(&topic, &twice), &twice, &["2", "3", "4", "5"])
}
