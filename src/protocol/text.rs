//! The character rule of topics, ids, event types and matcher values (draft-08 #terminology):
//! no C0 or C1 control character, no DEL, no Unicode format character.

/// A character that the rule forbids, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "contains U+{:04X} at byte {offset}; control characters and invisible format characters are \
     not allowed here",
    u32::from(*character)
)]
pub struct ForbiddenCharacter {
    pub character: char,
    /// Bytes before the character.
    pub offset: usize,
}

/// Checks a topic, id, event type or matcher value, which "MUST NOT contain C0 or C1 control
/// characters, U+007F (DEL), or Unicode format characters".
pub fn check(text: &str) -> Result<(), ForbiddenCharacter> {
    if is_plain_ascii(text) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| is_forbidden(*character)) {
        None => Ok(()),
        Some((offset, character)) => Err(ForbiddenCharacter { character, offset }),
    }
}

/// A short quotation of text that a client sent, safe to show in an error or a log line.
pub fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 80;
    let mut quotation = String::from("`");
    for character in text.chars().take(CHARACTERS_MAX) {
        match is_forbidden(character) {
            true => quotation.extend(character.escape_unicode()),
            false => quotation.push(character),
        }
    }
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        quotation.push('…');
    }
    quotation.push('`');
    quotation
}

/// Without an early end, so that the compiler checks many bytes at a time.
fn is_plain_ascii(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte))
}

fn is_forbidden(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '\x7f'..='\u{9f}') || is_format(character)
}

fn is_format(character: char) -> bool {
    let after = FORMAT_CHARACTERS.partition_point(|(first, _)| *first <= character);
    after > 0 && character <= FORMAT_CHARACTERS[after - 1].1
}

/// General category `Cf` of Unicode 17.0, as ranges in order.
const FORMAT_CHARACTERS: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

#[cfg(test)]
mod tests {
    use super::*;
    use icu_properties::{CodePointMapData, props::GeneralCategory};

    #[test]
    fn every_character_is_judged_as_unicode_17_does() {
        let categories = CodePointMapData::<GeneralCategory>::new();
        for character in '\0'..=char::MAX {
            let category = categories.get(character);
            let forbidden = matches!(category, GeneralCategory::Control | GeneralCategory::Format);
            let text = character.to_string();
            assert_eq!(check(&text).is_err(), forbidden, "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn the_error_says_which_character_and_where() {
        assert_eq!(
            check("aé\u{202e}b"),
            Err(ForbiddenCharacter { character: '\u{202e}', offset: 3 })
        );
        let text = check("a\nb").unwrap_err().to_string();
        assert!(text.starts_with("contains U+000A at byte 1;"), "{text}");
        assert_eq!(check("https://example.com/books/1"), Ok(()));
        assert_eq!(check("日本語 ✓"), Ok(()));
        assert_eq!(check(""), Ok(()));
    }

    #[test]
    fn an_excerpt_is_short_and_hides_nothing() {
        assert_eq!(excerpt("a b"), "`a b`");
        assert_eq!(excerpt("a\r\n\u{200b}"), "`a\\u{d}\\u{a}\\u{200b}`");
        assert_eq!(excerpt(&"é".repeat(80)), format!("`{}`", "é".repeat(80)));
        assert_eq!(excerpt(&"é".repeat(81)), format!("`{}…`", "é".repeat(80)));
    }
}
