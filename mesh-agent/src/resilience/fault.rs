//! Failures made on purpose (gRFC A33).

use crate::grpc::Code;
use crate::model::{Draws, Fault};
use std::time::Duration;

/// What happens to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// It waits so long before anything else is done.
    pub delay: Option<Duration>,
    /// It is then answered with this status, and goes nowhere.
    pub abort: Option<Code>,
}

impl Injection {
    /// Decides for one request. Delay and abort are drawn apart: with 10 % each, 1 % of the requests get both.
    #[must_use]
    pub fn decide(fault: &Fault, random: u64) -> Self {
        let mut draws = Draws::new(random);
        let delay = fault.delay.filter(|(percent, _)| draws.is_within(*percent));
        let abort = fault.abort.filter(|(percent, _)| draws.is_within(*percent));
        Self {
            delay: delay.map(|(_, length)| length),
            abort: abort.map(|(_, status)| Code::of(u32::from(status))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Injection;
    use crate::grpc::Code;
    use crate::model::{Draws, Fault};
    use std::time::Duration;

    fn injections(fault: Fault) -> Vec<Injection> {
        let mut draws = Draws::new(5);
        let many = (0..100_000).map(|_| Injection::decide(&fault, draws.number()));
        many.collect()
    }

    #[test]
    fn nothing_happens_without_a_fault() {
        assert!(
            injections(Fault::default())
                .iter()
                .all(|i| *i == Injection::default())
        );
    }

    #[test]
    fn a_hundred_percent_means_every_request() {
        let length = Duration::from_millis(100);
        let always = Fault {
            delay: Some((100.0, length)),
            abort: Some((100.0, 14)),
        };
        let expected = Injection {
            delay: Some(length),
            abort: Some(Code::Unavailable),
        };
        assert!(injections(always).iter().all(|i| *i == expected));
    }

    #[test]
    fn delays_and_aborts_are_drawn_apart() {
        let seen = injections(Fault {
            delay: Some((20.0, Duration::from_millis(1))),
            abort: Some((10.0, 8)),
        });
        let count = |wanted: fn(&Injection) -> bool| seen.iter().filter(|i| wanted(i)).count();
        let delayed = count(|i| i.delay.is_some());
        let aborted = count(|i| i.abort == Some(Code::ResourceExhausted));
        let both = count(|i| i.delay.is_some() && i.abort.is_some());
        assert!((19_400..20_600).contains(&delayed), "{delayed}");
        assert!((9_500..10_500).contains(&aborted), "{aborted}");
        assert!((1_800..2_200).contains(&both), "{both}");
    }
}
