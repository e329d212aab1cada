//! Header fields that say who somebody is, and the one that says where the hub is.

use std::net::IpAddr;

use petasos::{
    auth::bearer::{self, BearerError},
    http::{
        cookie,
        fields::Fields,
        forwarded::{Forwarded, Peer},
        head::Head,
        reader::{HeadReader, Limits},
    },
    protocol::{hub_url::HubUrl, text},
    worker::link,
};

/// The value of an `Authorization` field: it holds the token that the grammar finds in it, or a
/// refusal that says what is missing.
pub fn authorization(input: &[u8]) -> bool {
    let value = input.trim_ascii();
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    let rest = value[scheme.len()..].trim_ascii();
    let expected = match (scheme.eq_ignore_ascii_case(b"Bearer"), rest) {
        (true, b"") => Err(BearerError::NoToken),
        (false, b"") => Err(BearerError::NoScheme),
        (false, _) => Err(BearerError::OtherScheme),
        (true, rest) => Ok(std::str::from_utf8(rest).ok().filter(|_| is_token(rest))),
    };
    let found = bearer::credentials(input).map(bearer::token);
    assert_eq!(found, expected, "{}", input.escape_ascii());
    let Ok(Some(token)) = found else { return false };
    for spelled in [format!("Bearer {token}"), format!(" bEARER   {token}\t")] {
        assert_eq!(bearer::credentials(spelled.as_bytes()).map(bearer::token), Ok(Some(token)));
    }
    true
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`, byte by byte.
fn is_token(word: &[u8]) -> bool {
    let mut padded = false;
    word.iter().enumerate().all(|(at, byte)| match byte {
        b'=' => {
            padded = true;
            at > 0
        }
        byte => !padded && (byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte)),
    })
}

const NAME: &str = "t";

/// Values of `Cookie` fields, one for each line: the first cookie with the name that is not empty
/// counts, whatever stands around it and however the cookies are divided among the fields.
pub fn cookie(input: &[u8]) -> bool {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').take(10).collect();
    let Some(head) = head_with(&lines) else { return false };
    let found = cookie::cookie(&head, NAME);
    let all = lines.join(&b';');
    assert_eq!(found, first_value(&all), "{}", input.escape_ascii());
    // All in one field, one in each, and behind cookies that are others.
    let before = [b"tt=a; s=t=b; T=c; t; \"t\"=d".as_slice(), &all].join(&b';');
    let each: Vec<&[u8]> = all.split(|byte| *byte == b';').collect();
    for lines in [&[&*all][..], &each, &[&*before]] {
        if let Some(head) = head_with(lines) {
            assert_eq!(cookie::cookie(&head, NAME), found, "{}", input.escape_ascii());
        }
    }
    let Some(value) = found else { return false };
    // Before all others a value is found that is as it was found.
    let first = [b"t=".as_slice(), value, b"; ", &all].concat();
    let head = head_with(&[&first]).expect("of what was taken before");
    // Read once more it may be empty: then it is found where it was.
    let again = unquoted(blank_free(value));
    let expected = if again.is_empty() { value } else { again };
    assert_eq!(cookie::cookie(&head, NAME), Some(expected), "{}", input.escape_ascii());
    true
}

fn head_with(cookies: &[&[u8]]) -> Option<Head> {
    head_of(cookies.iter().map(|line| ("Cookie", *line)))
}

fn head_of<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Head> {
    let limits = Limits { target_len_max: 10, head_len_max: 1 << 16, header_count_max: 1 << 10 };
    let fields = fields.map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat());
    let bytes = [b"GET / HTTP/1.0\r\n", &*fields.collect::<Vec<_>>().concat(), b"\r\n"].concat();
    let (head, len) = HeadReader::default().read(&bytes, &limits).ok()??;
    (len == bytes.len()).then_some(head)
}

fn first_value(cookies: &[u8]) -> Option<&[u8]> {
    let mut rest = cookies;
    loop {
        let end = rest.iter().position(|byte| *byte == b';').unwrap_or(rest.len());
        let behind_name = blank_free(&rest[..end]).strip_prefix(NAME.as_bytes()).map(blank_free);
        let value = behind_name.and_then(|rest| rest.strip_prefix(b"="));
        let value = value.map(|value| unquoted(blank_free(value)));
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            return Some(value);
        }
        rest = rest.get(end + 1..)?;
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// Without blanks around it.
fn blank_free(bytes: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !b" \t".contains(byte);
    let start = bytes.iter().position(is_text).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(is_text).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// What a client writes before its proxy, a field in each line, whose first byte says which. The
/// proxy adds fields of its own, or to the last ones of a name: what it says comes out, or nothing.
pub fn forwarded(input: &[u8]) -> bool {
    const FIELDS: [(&str, &str); 4] = [
        ("Forwarded", "for=198.51.100.1;host=\"a:1\";proto=https"),
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Host", "a:1"),
        ("X-Forwarded-Proto", "https"),
    ];
    let lines = input.split(|byte| *byte == b'\n').take(10);
    let written: Vec<_> = lines
        .filter_map(|line| line.split_first())
        .map(|(first, value)| (FIELDS[usize::from(*first) % 4].0, value))
        .collect();
    if head_of(written.iter().copied()).is_none() {
        return false;
    }
    let mut is_said = false;
    for (own, adds) in [(0..1, false), (1..4, false), (0..1, true), (1..4, true)]
        .map(|(own, adds)| (&FIELDS[own], adds))
    {
        let mut fields: Vec<(&str, Vec<u8>)> =
            written.iter().map(|(name, value)| (*name, value.to_vec())).collect();
        for (name, value) in own {
            match fields.iter_mut().rfind(|(other, _)| adds && other == name) {
                Some((_, before)) => before.extend_from_slice(format!(", {value}").as_bytes()),
                None => fields.push((name, value.as_bytes().to_vec())),
            }
        }
        let head = head_of(fields.iter().map(|(name, value)| (*name, &**value)));
        let head = head.expect("of what was taken before");
        let peer = Peer::from(IpAddr::from([10, 0, 0, 1]));
        let of_anybody = Forwarded::read(peer, &head, |_| false);
        assert_eq!(of_anybody, Forwarded::default(), "{}", input.escape_ascii());
        let Forwarded { client, host, is_https } = Forwarded::read(peer, &head, |it| it == peer);
        assert!(client.is_none_or(|it| it == IpAddr::from([198, 51, 100, 1])), "{client:?}");
        assert!(host.as_deref().is_none_or(|host| host.eq_ignore_ascii_case(b"a:1")), "{host:?}");
        is_said |= client.is_some() && host.is_some() && is_https;
    }
    is_said
}

/// A public URL, and behind the first line feed the id of the last update: whoever reads the `Link`
/// by the letter gets both back, and nothing else.
pub fn link(input: &[u8]) -> bool {
    let Ok(input) = std::str::from_utf8(input) else { return false };
    let (url, id) = input.split_once('\n').map_or((input, None), |(url, id)| (url, Some(id)));
    let Ok(hub) = HubUrl::new(url, "/.well-known/mercure") else { return false };
    let id = id.filter(|id| text::check(id).is_ok());
    let value = link::to_hub(hub.as_str(), id);
    let mut fields = Fields::NONE;
    fields.push("Link", &value);
    assert_eq!(fields.as_bytes(), format!("Link: {value}\r\n").as_bytes(), "nothing is replaced");
    let (target, parameters) = read_link(&value).unwrap_or_else(|| panic!("{value} is no link"));
    assert_eq!(target, hub.as_str());
    let id = id.map(|id| ("last-event-id".to_owned(), id.to_owned()));
    let expected = [("rel".to_owned(), "mercure".to_owned())].into_iter().chain(id);
    assert_eq!(parameters, expected.collect::<Vec<_>>(), "{value}");
    true
}

/// A link and its parameters, by RFC 8288 §3, whose values are all quoted strings.
fn read_link(value: &str) -> Option<(&str, Vec<(String, String)>)> {
    let (target, mut rest) = value.strip_prefix('<')?.split_once('>')?;
    let mut parameters = Vec::new();
    while !rest.is_empty() {
        let (name, quoted) = rest.strip_prefix("; ")?.split_once("=\"")?;
        let mut text = String::new();
        let mut characters = quoted.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => text.push(characters.next()?),
                character if character.is_control() => return None,
                character => text.push(character),
            }
        }
        rest = characters.as_str();
        parameters.push((name.to_owned(), text));
    }
    Some((target, parameters))
}
