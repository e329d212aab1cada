//! Keys as text: PEM (RFC 7468).

use base64::{Engine, engine::general_purpose::STANDARD};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block of PEM.
pub(super) struct Pem<'t> {
    /// What stands behind `BEGIN`.
    pub(super) label: &'t str,
    pub(super) der: Vec<u8>,
}

/// Why a text that looks like PEM is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("it has no END line: is it cut off?")]
    NoEnd,
    #[error(r"it has `\n` where a line should end: give it with real line ends, best as a file")]
    EscapedLineEnds,
    #[error("what stands between BEGIN and END is not base64")]
    NotBase64,
}

/// Whether a text is meant to be PEM.
pub(super) fn looks_like_pem(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(BEGIN.as_bytes())
}

/// The blocks of a text that [looks like PEM](looks_like_pem), in their order. Other text around
/// them is not looked at.
pub(super) fn blocks(text: &str) -> Result<Vec<Pem<'_>>, PemError> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, from_label)) = rest.split_once(BEGIN) {
        let (label, body) = from_label.split_once(DASHES).ok_or(PemError::NoEnd)?;
        let (body, after) = body.split_once(END).ok_or(PemError::NoEnd)?;
        if body.contains(r"\n") {
            return Err(PemError::EscapedLineEnds);
        }
        // Parameters, Proc-Type and the like (RFC 1421 §4.6) come before an empty line.
        let body = body.split_once("\n\n").map_or(body, |(_, body)| body);
        let digits: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(digits).map_err(|_| PemError::NotBase64)?;
        blocks.push(Pem { label, der });
        rest = after.strip_prefix(label).and_then(|a| a.strip_prefix(DASHES)).unwrap_or(after);
    }
    Ok(blocks)
}
