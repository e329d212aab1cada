//! `Link` fields of requests (RFC 8288 §3).

use super::fields::trim;

/// The targets of the links in a field's value that have one of these relation types, as they are
/// written. What is no link ends the list: nothing behind it can be told apart.
pub fn targets<'v>(value: &'v [u8], relations: &[&str]) -> Vec<&'v [u8]> {
    let (mut targets, mut rest) = (Vec::new(), value);
    while let Some((target, relation, behind)) = link(rest) {
        let mut words = relation.split(|byte| byte.is_ascii_whitespace());
        let is_wanted = |word: &[u8]| {
            relations.iter().any(|relation| word.eq_ignore_ascii_case(relation.as_bytes()))
        };
        if words.any(is_wanted) {
            targets.push(target);
        }
        rest = behind;
    }
    targets
}

/// The first link: its target, its relation types, and what is behind its comma.
fn link(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // Empty elements of a list do not count.
    let start = value.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
    let value = value[start..].strip_prefix(b"<")?;
    let (target, mut rest) = split_at(value, b'>')?;
    let mut relation: Option<&[u8]> = None;
    loop {
        rest = trim_start(rest);
        match rest {
            [] => return Some((target, relation.unwrap_or_default(), rest)),
            [b',', behind @ ..] => return Some((target, relation.unwrap_or_default(), behind)),
            [b';', parameter @ ..] => {
                let (name, value, behind) = parameter_of(trim_start(parameter))?;
                // "occurrences after the first MUST be ignored".
                if name.eq_ignore_ascii_case(b"rel") {
                    relation.get_or_insert(value);
                }
                rest = behind;
            }
            _ => return None,
        }
    }
}

/// A parameter's name and value, and what is behind it. Escapes in a quoted value stay: no relation
/// type has any.
fn parameter_of(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = |text: &[u8], ends: &[u8]| {
        text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len())
    };
    let (name, rest) = text.split_at(end(text, b"=;,"));
    let Some(value) = rest.strip_prefix(b"=").map(trim_start) else {
        return Some((trim(name), b"", rest));
    };
    if let Some(quoted) = value.strip_prefix(b"\"") {
        let mut at = 0;
        while quoted.get(at)? != &b'"' {
            at += if quoted[at] == b'\\' { 2 } else { 1 };
        }
        return Some((trim(name), &quoted[..at], &quoted[at + 1..]));
    }
    let (value, rest) = value.split_at(end(value, b";,"));
    Some((trim(name), trim(value), rest))
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    &text[start.unwrap_or(text.len())..]
}

fn split_at(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_wanted_relations_are_found() {
        for (value, expected) in [
            (r#"<a>; rel="mercure""#, &["a"][..]),
            ("<a>;rel=mercure", &["a"]),
            ("<a> ; REL = \"Mercure\" ; x=\"y\"", &["a"]),
            (r#"<a>; rel="x MERCURE y""#, &["a"]),
            (r#"<a>; rel=self, <b,;>; rel="mercure", <c>; rel=next"#, &["a", "b,;"]),
            (r#"<a>; title="x, <y>; rel=self"; rel=mercure, <b>;rel=self"#, &["a", "b"]),
            (r#"<a>; title="\"; rel=self"; rel=next,<b>; rel=self"#, &["b"]),
            ("<a>; rel=next; rel=mercure", &[]),
            ("<a>; flag; rel=mercure", &["a"]),
            (", ,<a>; rel=mercure,,", &["a"]),
            ("<>; rel=mercure", &[""]),
            ("<a>", &[]),
            ("<a>; rel", &[]),
            ("", &[]),
            ("a; rel=mercure", &[]),
            ("<a; rel=mercure", &[]),
            ("<a> x; rel=mercure", &[]),
            (r#"<a>; rel="mercure"#, &[]),
            (r#"<a>; rel="mercure\"#, &[]),
            ("<a>; rel=mercure, b, <c>; rel=mercure", &["a"]),
        ] {
            let found = targets(value.as_bytes(), &["mercure", "self"]);
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(found, expected, "{value}");
        }
    }
}
