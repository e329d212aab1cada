//! Reads `WWW-Authenticate` (RFC 9110 §11.6.1): what the Bearer challenge says.

use std::collections::HashMap;

use crate::http::Answer;

/// The parameters of the Bearer challenge, names in lower case.
pub(crate) fn bearer(answer: &Answer) -> Option<HashMap<String, String>> {
    answer.fields("WWW-Authenticate").find_map(parameters)
}

fn parameters(field: &str) -> Option<HashMap<String, String>> {
    let mut found: Option<HashMap<String, String>> = None;
    for item in split(field) {
        // A scheme stands before the first parameter of its challenge, or alone.
        let scheme_len = item.find([' ', '=', '"']).unwrap_or(item.len());
        let begins = !item[scheme_len..].starts_with('=');
        let (scheme, parameter) = if begins { item.split_at(scheme_len) } else { ("", item) };
        match (&mut found, begins) {
            (None, true) if scheme.eq_ignore_ascii_case("Bearer") => found = Some(HashMap::new()),
            (None, _) => continue,
            (Some(_), true) => break,
            (Some(_), false) => {}
        }
        let named = parameter.trim().split_once('=');
        if let (Some(found), Some((name, value))) = (&mut found, named) {
            let value = value.trim();
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = quoted.map_or(value.to_owned(), |it| it.replace('\\', ""));
            found.insert(name.trim().to_ascii_lowercase(), value);
        }
    }
    found
}

/// The items of a list, whose commas may stand in quotes.
fn split(field: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in field.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.push(field[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(field[start..].trim());
    items.retain(|item| !item.is_empty());
    items
}

/// What the suite knows of challenges, for its self-test.
pub(crate) fn is_read_well() -> bool {
    let read = |field: &str| {
        let found = parameters(field)?;
        let mut pairs: Vec<_> =
            found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.sort();
        Some(pairs.join(" "))
    };
    [
        ("Bearer", Some("")),
        ("bearer error=\"a, b\", Realm=x", Some("error=a, b realm=x")),
        ("Basic realm=\"Bearer\", BEARER error=\"x\\\"y\"", Some("error=x\"y")),
        ("Bearer error=x, Basic realm=y", Some("error=x")),
        ("Negotiate, Bearer", Some("")),
        ("Basic realm=\"Bearer error=x\"", None),
        ("Bearertoken error=x", None),
        ("", None),
    ]
    .iter()
    .all(|(field, expected)| read(field).as_deref() == *expected)
}
