//! Times, counted in classes.

use std::time::Duration;

use super::Number;

/// Upper bounds of the classes, in microseconds; one more is for what is above all.
pub const BOUNDS_MICROS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// How often times were within each class.
#[derive(Debug, Default)]
pub struct Histogram {
    classes: [Number; BOUNDS_MICROS.len() + 1],
    sum_micros: Number,
}

impl Histogram {
    /// `count` times that were the same.
    pub fn record(&self, time: Duration, count: u64) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.classes[class].add(count);
        self.sum_micros.add(micros.saturating_mul(count));
    }

    /// For each bound, how many times were at most that; and last, how many there were.
    pub fn cumulative(&self) -> [u64; BOUNDS_MICROS.len() + 1] {
        let mut sum = 0;
        std::array::from_fn(|class| {
            sum += self.classes[class].get();
            sum
        })
    }

    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_up_to_their_bound() {
        let histogram = Histogram::default();
        for (micros, count) in [(0, 1), (50, 1), (51, 1), (1_000, 2), (20_000_000, 1)] {
            histogram.record(Duration::from_micros(micros), count);
        }
        let counts = histogram.cumulative();
        assert_eq!((counts[0], counts[1], counts[3], counts[4]), (2, 3, 3, 5));
        assert_eq!((counts[15], counts[16]), (5, 6));
        assert_eq!(histogram.sum(), Duration::from_micros(20_002_101));
    }
}
