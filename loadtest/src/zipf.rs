//! Topics as they are in life: few are popular, most are not.

/// Numbers from 0 to `count` - 1, of which number `i` comes with a share of 1 / (i + 1).
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    /// The shares of all numbers up to each, added up.
    up_to: std::sync::Arc<[f64]>,
    random: u64,
}

impl Zipf {
    pub(crate) fn new(count: usize, seed: u64) -> Zipf {
        let mut sum = 0.0;
        let up_to = (0..count)
            .map(|i| {
                sum += 1.0 / (i + 1) as f64;
                sum
            })
            .collect();
        Zipf { up_to, random: seed }
    }

    /// The same numbers in another order.
    pub(crate) fn seeded(&self, seed: u64) -> Zipf {
        Zipf { random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, ..self.clone() }
    }

    pub(crate) fn draw(&mut self) -> u32 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let total = self.up_to.last().copied().unwrap_or(1.0);
        let at = (bits >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let found = self.up_to.partition_point(|&sum| sum <= at);
        found.min(self.up_to.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_twice_as_popular_as_the_second() {
        let mut zipf = Zipf::new(100, 1);
        let mut counts = [0_u32; 100];
        (0..100_000).for_each(|_| counts[zipf.draw() as usize] += 1);
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(counts.iter().all(|&count| count > 0));
    }
}
