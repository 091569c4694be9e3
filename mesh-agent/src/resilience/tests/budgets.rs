//! What callers and servers see of a retry budget under load.

use crate::grpc::Code;
use crate::model::{Draws, Retry, RetryBudget, Timeouts};
use crate::resilience::{Budget, Deadline, Failure, NextTry, Report, Tries};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

const REQUESTS_PER_SECOND: u64 = 2_000;
const SECONDS: u64 = 30;

/// What a simulated load has led to.
struct Seen {
    /// Share of calls that failed in the end, in percent.
    errors_percent: f64,
    /// When each try started, and whether it was a first one.
    tries: Vec<(Duration, bool)>,
}

/// Calls at an even rate to a server where `failing_percent` of the tries fail at once with UNAVAILABLE.
fn simulate(budget: RetryBudget, failing_percent: f64) -> Seen {
    let start = Instant::now();
    let budget = Budget::new(budget, start);
    let policy = Retry::default();
    let deadline = Deadline::new(start, &Timeouts::default(), None);
    let mut draws = Draws::new(42);
    let calls = REQUESTS_PER_SECOND * SECONDS;
    let mut states = vec![Tries::default(); usize::try_from(calls).unwrap()];
    let gap = Duration::from_secs(1) / u32::try_from(REQUESTS_PER_SECOND).unwrap();
    let firsts = (0_u32..)
        .zip(&states)
        .map(|(call, _)| Reverse((gap * call, call, true)));
    let mut due: BinaryHeap<_> = firsts.collect();
    let mut seen = Seen {
        errors_percent: 0.0,
        tries: vec![],
    };
    let mut errors = 0_u32;
    while let Some(Reverse((at, call, is_first))) = due.pop() {
        let now = start + at;
        if is_first {
            budget.original(now);
        }
        seen.tries.push((at, is_first));
        if !draws.is_within(failing_percent) {
            continue;
        }
        let report = Report {
            failure: Failure::Status(Code::Unavailable),
            push_back: None,
            is_committed: false,
            is_replayable: true,
            now,
            random: draws.number(),
        };
        let tries = &mut states[usize::try_from(call).unwrap()];
        match tries.next_try(Some(&policy), &report, &deadline, &budget) {
            NextTry::Retry(delay) | NextTry::Resend(delay) => {
                due.push(Reverse((at + delay, call, false)));
            }
            NextTry::Stop(_) => errors += 1,
        }
    }
    seen.errors_percent = f64::from(errors) * 100.0 / calls as f64;
    seen
}

fn large() -> RetryBudget {
    RetryBudget {
        percent: 100_000.0,
        ..RetryBudget::default()
    }
}

#[test]
fn a_budget_of_a_fifth_takes_thirty_percent_of_failures_to_sixteen() {
    let seen = simulate(RetryBudget::default(), 30.0).errors_percent;
    assert!((15.0..=17.0).contains(&seen), "{seen} %");
}

#[test]
fn a_very_large_budget_takes_them_to_what_three_tries_leave() {
    let seen = simulate(large(), 30.0).errors_percent;
    assert!((2.2..=3.2).contains(&seen), "{seen} %");
}

#[test]
fn a_server_that_fails_always_gets_a_fifth_more_and_ten_a_second_at_any_time() {
    let mut tries = simulate(RetryBudget::default(), 100.0).tries;
    tries.sort_unstable();
    let window = Duration::from_secs(10);
    for from in (0..=SECONDS - 10).map(Duration::from_secs) {
        let within = |at: Duration| from <= at && at < from + window;
        let (mut all, mut originals) = (0_u32, 0_u32);
        for (at, is_first) in &tries {
            all += u32::from(within(*at));
            originals += u32::from(within(*at) && *is_first);
        }
        let most = 1.2 * f64::from(originals) + 100.0;
        assert!(f64::from(all) <= most, "{all} of {originals} from {from:?}");
        assert!(
            f64::from(all) >= 1.15 * f64::from(originals),
            "the budget is used"
        );
    }
}
