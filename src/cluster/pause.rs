//! How long to wait before the next attempt.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Pauses between failed attempts: each twice the one before, up to a bound, and shortened by chance by up to half, so that replicas that lost
/// the same API server at the same moment do not all come back at the same moment.
#[derive(Debug)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    /// Pauses from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The pause after another failure.
    pub fn another(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(self.longest);
        by_chance(pause)
    }

    /// After a success: the next failure is a first one.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between half of `most` and `most`.
pub fn by_chance(most: Duration) -> Duration {
    // The keys of a new RandomState are random: enough to spread replicas, and no dependency.
    let random = RandomState::new().hash_one(0) % 1024;
    most / 2 + most / 2 * u32::try_from(random).unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_vary() {
        let second = Duration::from_secs(1);
        let mut pauses = Pauses::new(second, 5 * second);
        for most in [1, 2, 4, 5, 5] {
            let pause = pauses.another();
            assert!(pause >= most * second / 2 && pause < most * second, "{pause:?}");
        }
        pauses.reset();
        assert!(pauses.another() < second);
        let some: std::collections::HashSet<Duration> = (0..32).map(|_| by_chance(second)).collect();
        assert!(some.len() > 1);
    }
}
