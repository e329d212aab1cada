//! The `Date` of an answer, from a clock that somebody else reads.

/// A moment as RFC 9110 §5.6.7 writes it: `Sun, 06 Nov 1994 08:49:37 GMT`. It changes once a
/// second: format it then, and share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpDate {
    text: [u8; LEN],
}

const LEN: usize = 29;
/// The epoch was a Thursday.
const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const SECONDS_PER_DAY: u64 = 86_400;
/// The format has four digits for the year: the last second of 9999.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

impl HttpDate {
    /// From seconds since the epoch, as UNIX counts them.
    pub fn new(unix_seconds: u64) -> HttpDate {
        let unix_seconds = unix_seconds.min(UNIX_SECONDS_MAX);
        let (days, second) = (unix_seconds / SECONDS_PER_DAY, unix_seconds % SECONDS_PER_DAY);
        let (year, month, day) = civil(days);
        let mut text = *b"..., .. ... .... ..:..:.. GMT";
        text[..3].copy_from_slice(abbreviation(DAYS, days % 7));
        digits(&mut text[5..7], day);
        text[8..11].copy_from_slice(abbreviation(MONTHS, month));
        digits(&mut text[12..16], year);
        digits(&mut text[17..19], second / 3600);
        digits(&mut text[20..22], second / 60 % 60);
        digits(&mut text[23..25], second % 60);
        HttpDate { text }
    }

    /// The text, which is ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// The names in `names` are three letters each. `index` is smaller than their number.
fn abbreviation(names: &[u8], index: u64) -> &[u8] {
    let start = index as usize * 3;
    &names[start..start + 3]
}

/// Writes a number over all of `text`, with zeros in front.
fn digits(text: &mut [u8], mut number: u64) {
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month from 0, and day from 1 of a day since the epoch.
fn civil(mut days: u64) -> (u64, u64, u64) {
    // Whole cycles of the calendar first; what is left is walked, at most 400 years and 12 months
    // once a second.
    const DAYS_PER_CYCLE: u64 = 146_097;
    let mut year = 1970 + days / DAYS_PER_CYCLE * 400;
    days %= DAYS_PER_CYCLE;
    while days >= year_len(year) {
        days -= year_len(year);
        year += 1;
    }
    let mut month = 0;
    while days >= month_len(year, month) {
        days -= month_len(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_len(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

/// Days of a month, counted from 0.
fn month_len(year: u64, month: u64) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants() {
        let table = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_767_225_600, "Thu, 01 Jan 2026 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (UNIX_SECONDS_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (unix_seconds, expected) in table {
            let date = HttpDate::new(unix_seconds);
            assert_eq!(std::str::from_utf8(date.as_bytes()), Ok(expected));
        }
    }
}
