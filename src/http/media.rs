//! Media types: what a body is, and what the client wants to read.

use super::{
    fields::{list, trim},
    head::Head,
};

/// Whether `content_type` is that of a form, whatever its parameters.
pub fn is_form(content_type: &[u8]) -> bool {
    essence(content_type).eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// Whether it is JSON, or of a type that is written as JSON.
pub fn is_json(content_type: &[u8]) -> bool {
    let essence = essence(content_type).to_ascii_lowercase();
    essence == b"application/json"
        || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}

/// A media type without its parameters.
fn essence(media_type: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', media_type).unwrap_or(media_type.len());
    trim(&media_type[..end])
}

/// How an error is described to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemForm {
    /// `application/problem+json` (RFC 9457).
    Json,
    /// `text/plain`.
    Text,
}

impl ProblemForm {
    /// Plain text if the client likes it better than problem details; those otherwise, also for
    /// clients that want neither, such as an `EventSource`.
    pub fn asked_for(head: &Head) -> ProblemForm {
        ProblemForm::preferred(head.headers("accept"))
    }

    fn preferred<'a>(accept: impl Iterator<Item = &'a [u8]>) -> ProblemForm {
        let mut text = Preference::default();
        let mut json = Preference::default();
        for range in accept.flat_map(list) {
            let quality = quality(range);
            let range = essence(range).to_ascii_lowercase();
            match &range[..] {
                b"text/plain" => text.take(2, quality),
                b"text/*" => text.take(1, quality),
                b"application/problem+json" => json.take(2, quality),
                b"application/*" => json.take(1, quality),
                b"*/*" => {
                    text.take(0, quality);
                    json.take(0, quality);
                }
                _ => {}
            }
        }
        if text.quality > json.quality { ProblemForm::Text } else { ProblemForm::Json }
    }
}

/// The quality that the most specific range gives (RFC 9110 §12.5.1).
#[derive(Default)]
struct Preference {
    specificity: u8,
    quality: u16,
}

impl Preference {
    fn take(&mut self, specificity: u8, quality: u16) {
        if specificity >= self.specificity {
            *self = Preference { specificity, quality };
        }
    }
}

/// The weight of a media range in thousandths (RFC 9110 §12.4.2): 1000 without one, 0 for one
/// that cannot be read.
fn quality(range: &[u8]) -> u16 {
    let mut parameters = range.split(|&byte| byte == b';').skip(1).map(trim);
    let Some(weight) = parameters.find_map(|parameter| match parameter {
        [b'q' | b'Q', b'=', weight @ ..] => Some(weight),
        _ => None,
    }) else {
        return 1000;
    };
    match weight {
        [b'1'] => 1000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|&b| b == b'0') => 1000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let digit = |at: usize| digits.get(at).map_or(0, |digit| u16::from(digit - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_known_by_their_type_alone() {
        for form in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded;charset=UTF-8",
            "Application/X-WWW-Form-URLencoded ; charset=utf-8",
            " application/x-www-form-urlencoded\t",
        ] {
            assert!(is_form(form.as_bytes()), "{form}");
        }
        for other in [
            "",
            ";",
            "application/json",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencodedx",
            "application/x-www-form-urlencoded, text/plain",
            "text/plain; application/x-www-form-urlencoded",
        ] {
            assert!(!is_form(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn plain_text_is_for_those_who_like_it_better() {
        use ProblemForm::{Json, Text};
        let table: [(&[&str], ProblemForm); 19] = [
            (&[], Json),
            (&[""], Json),
            (&["*/*"], Json),
            (&["text/event-stream"], Json),
            (&["application/json"], Json),
            (&["text/plain"], Text),
            (&["TEXT/Plain"], Text),
            (&["text/*"], Text),
            (&["text/plain, application/problem+json"], Json),
            (&["text/plain;q=0.9, application/problem+json;q=0.8"], Text),
            (&["text/plain;q=0.8, application/problem+json;Q=0.9"], Json),
            (&["application/json, text/plain, */*"], Json),
            (&["text/plain", "*/*;q=0.1"], Text),
            (&["*/*, application/problem+json;q=0"], Text),
            (&["text/plain;q=0, */*;q=0.1"], Json),
            (&["text/plain;q=0"], Json),
            (&["text/plain;q=x"], Json),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Json),
            (&["text/plain;format=flowed;q=0.001"], Text),
        ];
        for (accept, expected) in table {
            let values = accept.iter().map(|value| value.as_bytes());
            assert_eq!(ProblemForm::preferred(values), expected, "{accept:?}");
        }
    }

    #[test]
    fn weights_are_read() {
        let table = [
            ("a/b", 1000),
            ("a/b;q=1", 1000),
            ("a/b;q=1.000", 1000),
            ("a/b; q=0.5", 500),
            ("a/b;x=y ; Q=0.125", 125),
            ("a/b;q=0.", 0),
            ("a/b;q=0.04", 40),
            ("a/b;q=1.1", 0),
            ("a/b;q=1.0000", 0),
            ("a/b;q=0.1234", 0),
            ("a/b;q=2", 0),
            ("a/b;q=", 0),
            ("a/b;q=.5", 0),
            ("a/b;q=-1", 0),
        ];
        for (range, expected) in table {
            assert_eq!(quality(range.as_bytes()), expected, "{range}");
        }
    }
}
