//! Chapter 13: what nobody must be able to do to others.

use crate::{
    check::is_one_of,
    hub::Hub,
    row::{BAD_REQUEST, Challenge::Any, Need, Outcome, Row, delivers, get, must, post, should},
    verdict::{Verdict, ensure},
};

const SECTION: &str = "security-considerations";
/// What comes from the wrong page is to be rejected, as what is left open.
const REJECTED: [Outcome; 3] = [BAD_REQUEST, (401, Any), (403, Any)];

pub(super) fn rows() -> Vec<Row> {
    vec![
        must("server-sent-events-field-injection", "data forges no field and no event").delivers([
            delivers("data=a%0Aid:+x%0Aevent:+y", "a\nid: x\nevent: y"),
            delivers("data=%0A%0Adata:+x%0A%0A", "\n\ndata: x\n\n"),
            delivers("data=%0D%0Dretry:+1%0D%0Did:+x", "\n\nretry: 1\n\nid: x"),
            delivers(
                "data=x%0D%0A%0D%0Aevent:+mercure%0D%0Adata:+y",
                "x\n\nevent: mercure\ndata: y",
            ),
            delivers("data=id:+forged&type=t", "id: forged").event("t"),
            delivers("data=:+comment", ": comment"),
        ]),
        must("server-sent-events-field-injection", "neither topic, id, type nor retry forges one")
            .answers(
                &[BAD_REQUEST],
                ["topic", "id", "type", "retry"].iter().flat_map(|name| {
                    ["1%0Adata:+x", "1%0D%0A%0D%0Adata:+x", "1%00", "1%0Devent:+mercure"]
                        .map(|it| post(format!("topic={{t}}&{name}={it}")))
                }),
            ),
        must(SECTION, "a page that may publishes with a cookie")
            .needs(Need::Cookie)
            .function(own_pages_publish),
        should(SECTION, "a page of another origin does not publish with a cookie")
            .needs(Need::Cookie)
            .answers(
                &REJECTED,
                [
                    ("Origin", "https://evil.example"),
                    ("Origin", "null"),
                    ("Referer", "https://evil.example/https://hub.example/"),
                    ("Referer", "evil"),
                ]
                .map(|(name, value)| cookie_post().field(name, value)),
            )
            .function(nearly_own_pages_do_not),
        should(SECTION, "nobody publishes with a cookie who does not say whose page it is")
            .needs(Need::Cookie)
            .answers(&REJECTED, [cookie_post()]),
    ]
}

fn cookie_post() -> crate::row::Request {
    post("topic={t}&data=x").with_cookie("{token}")
}

fn publish_origin(hub: &Hub) -> &str {
    hub.target.publish_origin.as_deref().unwrap_or_else(|| hub.origin())
}

fn own_pages_publish(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    let origin = publish_origin(hub);
    for (name, value) in [("Origin", origin.to_owned()), ("Referer", format!("{origin}/page?q#f"))]
    {
        let message = hub.message(&cookie_post().field(name, value), &topic);
        let answer = hub.client.answer(&message)?;
        ensure(answer.status == 200, message, "200", answer)?;
        let came = stream.next()?;
        ensure(came.is_some(), name, "an event", "the end of the stream")?;
    }
    Ok(())
}

/// What contains the right origin is another one.
fn nearly_own_pages_do_not(hub: &Hub) -> Verdict {
    let origin = publish_origin(hub);
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    for (name, value) in [
        ("Origin", format!("{origin}.evil.example")),
        ("Origin", format!("{origin}1")),
        ("Referer", format!("{origin}@evil.example/")),
        ("Referer", format!("https://evil.example/{origin}/")),
    ] {
        let message = hub.message(&cookie_post().field(name, value), &topic);
        let answer = hub.client.answer(&message)?;
        is_one_of(&answer, &REJECTED, &message.to_string())?;
    }
    hub.publish(&format!("topic={topic}&data=end"))?;
    let came = stream.up_to("end")?;
    ensure(came.is_empty(), "all these", "no event", crate::http::listed(&came))
}
