//! How long an endpoint takes to answer: a moving average that rises at once and falls slowly (Finagle's Peak EWMA).

/// What an endpoint is taken for before it has answered, in seconds: Linkerd's default.
const FIRST_GUESS_S: f64 = 0.030;

/// Time constant of the fall, in nanoseconds: Linkerd's default.
const DECAY_NS: f64 = 10e9;

/// How much a single answer may raise the estimate. A persistently slow endpoint is known after a few answers; one answer
/// that met a pause of the scheduler does not cost the endpoint its share for half a minute.
const RISE_MAX: f64 = 2.0;

/// An endpoint's latency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    estimate_s: f64,
    at_ns: u64,
    is_measured: bool,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            estimate_s: FIRST_GUESS_S,
            at_ns: 0,
            is_measured: false,
        }
    }
}

impl Latency {
    /// An answer took this long. The first one replaces the guess.
    pub(super) fn answered(&mut self, now_ns: u64, took_s: f64) {
        self.estimate_s = if !self.is_measured {
            took_s
        } else if took_s > self.estimate_s {
            took_s.min(self.estimate_s * RISE_MAX)
        } else {
            let kept = self.kept(now_ns);
            self.estimate_s * kept + took_s * (1.0 - kept)
        };
        self.is_measured = true;
        self.at_ns = self.at_ns.max(now_ns);
    }

    /// There was no answer, or a failure, after this long: fast failures make no endpoint attractive.
    pub(super) fn gave_up(&mut self, now_ns: u64, took_s: f64) {
        if took_s > self.estimate_s {
            self.answered(now_ns, took_s);
        }
    }

    /// The estimate now, in seconds. It falls towards zero while there is no answer, so that an endpoint that was slow is
    /// tried again.
    pub(super) fn estimate_s(&self, now_ns: u64) -> f64 {
        if self.is_measured {
            self.estimate_s * self.kept(now_ns)
        } else {
            self.estimate_s
        }
    }

    /// How much of the estimate is left.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a millionth of the time constant would not matter"
    )]
    fn kept(&self, now_ns: u64) -> f64 {
        let elapsed_ns = now_ns.saturating_sub(self.at_ns) as f64;
        (-elapsed_ns / DECAY_NS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::Latency;
    use proptest::prelude::proptest;

    const SECOND_NS: u64 = 1_000_000_000;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < b * 1e-6
    }

    #[test]
    fn the_first_answer_replaces_the_guess() {
        let mut latency = Latency::default();
        assert!(close(latency.estimate_s(60 * SECOND_NS), 0.030));
        latency.answered(SECOND_NS, 0.001);
        assert!(close(latency.estimate_s(SECOND_NS), 0.001));
    }

    #[test]
    fn it_rises_within_a_few_answers_and_falls_within_seconds() {
        let mut latency = Latency::default();
        latency.answered(0, 0.001);
        let risen = [0.002, 0.004, 0.008, 0.010, 0.010].map(|expected| {
            latency.answered(1, 0.010);
            close(latency.estimate_s(1), expected)
        });
        assert_eq!(risen, [true; 5]);
        latency.answered(1 + 10 * SECOND_NS, 0.001);
        let fallen = latency.estimate_s(1 + 10 * SECOND_NS);
        assert!(
            (0.0040..0.0045).contains(&fallen),
            "{fallen}: a third is left after ten seconds"
        );
    }

    #[test]
    fn without_answers_it_is_forgotten() {
        let mut latency = Latency::default();
        latency.answered(0, 1.0);
        assert!(latency.estimate_s(30 * SECOND_NS) < 0.05);
    }

    #[test]
    fn giving_up_counts_as_slow_but_never_as_fast() {
        let mut latency = Latency::default();
        latency.answered(0, 0.010);
        latency.gave_up(10 * SECOND_NS, 0.000_1);
        assert!(latency.estimate_s(0) > 0.009);
        latency.gave_up(10 * SECOND_NS, 0.015);
        assert!(close(latency.estimate_s(10 * SECOND_NS), 0.015));
    }

    proptest! {
        #[test]
        fn it_is_always_a_number_between_its_answers(answers in proptest::collection::vec((0_u64..u64::MAX, 1e-6..100.0_f64), 1..50)) {
            let mut latency = Latency::default();
            let longest = answers.iter().map(|(_, took)| *took).fold(0.0, f64::max);
            for (at, took) in answers {
                latency.answered(at, took);
                let estimate = latency.estimate_s(at);
                assert!(estimate.is_finite() && (0.0..=longest).contains(&estimate), "{estimate}");
            }
        }
    }
}
