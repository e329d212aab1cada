//! Hubs that send what they should not.

use super::{Alteration, Wrong, sends};

pub(super) const WRONGS: &[Wrong] = &[
    sends(
        "sends every event twice",
        |block| block.repeat(2),
        &[
            "an update arrives once, however many matchers select it",
            "an event has the data that was published",
            "all that was published after the cursor is sent, once, in its order",
        ],
    ),
    sends(
        "loses an event now and then",
        |block| {
            let is_lost =
                ["4", "7", "later"].iter().any(|it| block.contains(&format!("data: {it}\n")));
            if is_lost { String::new() } else { block }
        },
        &[
            "an id is a place in the one order of the hub, whatever its topic",
            "matchers select of what is replayed as they do of what is new",
            "of updates with the same id the first counts, and all after it are sent",
            "all that was published after the cursor is sent, once, in its order",
            "what is replayed goes over into what is new, without a gap",
            "who is cut again and again, and comes back each time, misses nothing",
        ],
    ),
    sends("sends events without an id", |block| without(&block, "id"), &["every event has an id"]),
    sends(
        "sends events without their type",
        |block| without(&block, "event"),
        &["`event` and `retry` are supported", "`type` becomes the SSE field `event`"],
    ),
    sends(
        "sends events without `retry`",
        |block| without(&block, "retry"),
        &["`retry` consists of ASCII digits, and becomes the SSE field `retry`"],
    ),
    sends(
        "sends data as it is, with its line ends",
        |block| block.replace("\ndata: ", "\n").replacen("\n", "\ndata: ", 1),
        &["data goes out in lines, split at CR, LF and CRLF", "data forges no field and no event"],
    ),
    sends(
        "sends no comments",
        |block| if block == ":\n" { String::new() } else { block },
        &["a stream on which nothing happens has comment lines"],
    ),
    Wrong {
        does: "looks at the first of two types, and sends the last",
        alteration: Alteration {
            asked: Some(|asked| asked.body = asked.body.replace("=ok&type=mercure", "=ok")),
            answered: None,
            event: Some(|block| block.replace("event: ok\n", "event: mercure\n")),
        },
        noticed_by: &["nothing that is forbidden gets through beside something that is allowed"],
    },
];

/// A block without the field of this name.
fn without(block: &str, name: &str) -> String {
    let is_other = |line: &&str| !line.starts_with(&format!("{name}:"));
    block.split_inclusive('\n').filter(is_other).collect()
}
