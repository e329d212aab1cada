//! The `Link` that says where the hub is (draft-08 #hub-discovery, RFC 8288).

use crate::auth::challenge::quoted;

/// The value of the field. `target` is the hub's URL or a reference to it, and so without `>`;
/// `last_event_id` is that of the update from which on a subscriber misses nothing.
pub fn to_hub(target: &str, last_event_id: Option<&str>) -> String {
    let mut link = format!("<{target}>; rel=\"mercure\"");
    if let Some(id) = last_event_id {
        link.push_str("; last-event-id=");
        link.push_str(&quoted(id));
    }
    link
}
