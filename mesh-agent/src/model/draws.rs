//! Random numbers, drawn one after the other from one that the caller brings.

/// The generator splitmix64 (Steele, Lea, Flood 2014): rooms that must not ask for randomness get one number per decision, and
/// draw from it what the decision needs. Not for secrets.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// Starts from `seed`; equal seeds give equal numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, uniform over all of `u64`.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `bound`; zero for a bound of zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The high half of a product is below its second factor (Lemire 2019).
        ((self.number() as u128 * bound as u128) >> 64) as u64
    }

    /// The next number in [0, 1).
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what an f64 holds exactly"
    )]
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether the next of many requests belongs to the `percent` that something happens to: never for 0, always for 100.
    pub fn is_within(&mut self, percent: f64) -> bool {
        self.share() * 100.0 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::Draws;
    use proptest::prelude::proptest;

    #[test]
    fn nothing_and_everything_are_exact() {
        let mut draws = Draws::new(1);
        for _ in 0..10_000 {
            assert!(!draws.is_within(0.0));
            assert!(draws.is_within(100.0));
        }
    }

    #[test]
    fn shares_hold() {
        let mut draws = Draws::new(7);
        let hits = (0..100_000).filter(|_| draws.is_within(5.0)).count();
        assert!((4_700..5_300).contains(&hits), "{hits}");
        let mut tally = [0_u32; 7];
        for _ in 0..70_000 {
            tally[usize::try_from(draws.below(7)).unwrap()] += 1;
        }
        assert!(
            tally.iter().all(|n| (9_500..10_500).contains(n)),
            "{tally:?}"
        );
    }

    proptest! {
        #[test]
        fn numbers_stay_below_their_bound(seed: u64, bound in 1_u64..) {
            let mut draws = Draws::new(seed);
            assert!(draws.below(bound) < bound);
            assert!((0.0..1.0).contains(&draws.share()));
        }
    }
}
