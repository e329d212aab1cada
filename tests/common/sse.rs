//! Reads server-sent events as the HTML standard says (§9.2.6), independently of the hub's code
//! and of the client's: this is what the hub's bytes have to mean to a browser.

use std::borrow::Cow;

/// What one block of lines says. A block without `data` is one that a browser does not dispatch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub(crate) id: Option<&'a [u8]>,
    pub(crate) event: Option<&'a [u8]>,
    pub(crate) retry: Option<&'a [u8]>,
    pub(crate) data: Option<Cow<'a, [u8]>>,
    pub(crate) comments: usize,
    /// Fields that the standard does not know.
    pub(crate) unknown: usize,
}

/// The first block of `input`, up to and with the empty line that ends it, and its length.
pub(crate) fn next_block(input: &[u8]) -> Option<(Block<'_>, usize)> {
    let mut block = Block::default();
    let mut start = 0;
    loop {
        let rest = &input[start..];
        let len = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r')?;
        let end_len = match &rest[len..] {
            [b'\r', b'\n', ..] => 2,
            // The line feed may be still to come.
            [b'\r'] => return None,
            _ => 1,
        };
        start += len + end_len;
        if len == 0 {
            return Some((block, start));
        }
        block.line(&rest[..len]);
    }
}

/// All blocks of `input`, and what is left behind the last one.
pub(crate) fn blocks(mut input: &[u8]) -> (Vec<Block<'_>>, &[u8]) {
    let mut blocks = Vec::new();
    while let Some((block, len)) = next_block(input) {
        blocks.push(block);
        input = &input[len..];
    }
    (blocks, input)
}

impl<'a> Block<'a> {
    fn line(&mut self, line: &'a [u8]) {
        let colon = line.iter().position(|&byte| byte == b':');
        let (name, value) = match colon {
            Some(0) => {
                self.comments += 1;
                return;
            }
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => match &mut self.data {
                None => self.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"id" if !value.contains(&0) => self.id = Some(value),
            b"event" => self.event = Some(value),
            b"retry" => self.retry = Some(value),
            _ => self.unknown += 1,
        }
    }
}
