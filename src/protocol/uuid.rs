//! Random UUIDs as names.

/// A version 4 UUID (RFC 9562 §5.4) of these random bits, as a URN.
pub fn random_urn(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let digits = format!("{bits:032x}");
    let (a, b, c, d, e) =
        (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_variant_are_set_and_all_else_is_random() {
        assert_eq!(random_urn(0), "urn:uuid:00000000-0000-4000-8000-000000000000");
        assert_eq!(random_urn(u128::MAX), "urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
