//! Gaps: streams that do not begin at the event that was asked for, and the notice of that in the
//! stream itself.
//!
//! The specification tells it in `Mercure-Last-Event-ID` (draft-08 #reconciliation), which an
//! `EventSource` cannot read. The notice is an addition of this hub, for those who ask for it.

use serde::Serialize;

use super::frame::{Fields, Frame, FrameDraft};

/// The event type of the notice.
pub const GAP_EVENT_TYPE: &str = "mercure-gap";

/// Why a history cannot be resumed at an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gap {
    /// No update of this history is known to have borne it.
    Unknown,
    /// It was an update of this history, which is no longer retained.
    Trimmed,
}

/// What a subscriber is told whose last event id could not be honoured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct GapNotice<'a> {
    /// `None`: what was asked for can be no id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<&'a str>,
    /// The value of `Mercure-Last-Event-ID`.
    pub resumed_from: &'a str,
    pub reason: Gap,
}

impl GapNotice<'_> {
    /// The event. Its id is where the stream begins: who is cut before the next event resumes
    /// there.
    pub fn frame(&self) -> Frame {
        let data = serde_json::to_string(self).expect("texts and a word can be written");
        let (id, event_type) = (Some(self.resumed_from), Some(GAP_EVENT_TYPE));
        let fields = Fields { id, event_type, data: &data, ..Fields::default() };
        FrameDraft::new(fields).finish(|| unreachable!("the id is given"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::Form;

    fn bare(notice: GapNotice<'_>) -> String {
        String::from_utf8(notice.frame().bytes(Form::Bare).to_vec()).unwrap()
    }

    #[test]
    fn a_notice_is_one_event_whatever_was_asked_for() {
        let requested = Some("a \"é\u{2028}\\");
        let notice = GapNotice { requested, resumed_from: "earliest", reason: Gap::Unknown };
        assert_eq!(
            bare(notice),
            "event: mercure-gap\ndata: {\"requested\":\"a \\\"é\u{2028}\\\\\",\
             \"resumed_from\":\"earliest\",\"reason\":\"unknown\"}\nid: earliest\n\n"
        );
        let notice = GapNotice { requested: None, resumed_from: "x", reason: Gap::Trimmed };
        assert_eq!(
            bare(notice),
            "event: mercure-gap\ndata: {\"resumed_from\":\"x\",\"reason\":\"trimmed\"}\n\
             id: x\n\n"
        );
    }
}
