//! What follows each failure of a call's tries.

use crate::grpc::{Code, PushBack};
use crate::model::{Retry, RetryBudget, Timeouts};
use crate::resilience::{Budget, Deadline, Failure, NextTry, Report, Stop, Tries};
use proptest::prelude::{any, prop_assert, proptest};
use std::sync::Arc;
use std::time::{Duration, Instant};

const UNAVAILABLE: Failure = Failure::Status(Code::Unavailable);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One call under a policy, with a clock that moves by the delays.
struct Call {
    tries: Tries,
    policy: Option<Retry>,
    deadline: Deadline,
    budget: Budget,
    now: Instant,
    random: u64,
}

impl Call {
    fn new(policy: Option<Retry>, request: Option<Duration>) -> Self {
        let now = Instant::now();
        let timeouts = Timeouts {
            request,
            ..Timeouts::default()
        };
        Self {
            tries: Tries::default(),
            policy,
            deadline: Deadline::new(now, &timeouts, None),
            budget: Budget::new(RetryBudget::default(), now),
            now,
            random: 3,
        }
    }

    fn fails(&mut self, failure: Failure) -> NextTry {
        self.fails_as(failure, |_| {})
    }

    fn fails_as(&mut self, failure: Failure, change: impl FnOnce(&mut Report)) -> NextTry {
        self.random += 1;
        let mut report = Report {
            failure,
            push_back: None,
            is_committed: false,
            is_replayable: true,
            now: self.now,
            random: self.random,
        };
        change(&mut report);
        let policy = self.policy.as_ref();
        let next = self
            .tries
            .next_try(policy, &report, &self.deadline, &self.budget);
        if let NextTry::Retry(delay) | NextTry::Resend(delay) = next {
            self.now += delay;
        }
        next
    }
}

fn policy() -> Retry {
    Retry {
        attempts: 4,
        ..Retry::default()
    }
}

fn delay_of(next: NextTry) -> Option<Duration> {
    match next {
        NextTry::Retry(delay) => Some(delay),
        NextTry::Resend(_) | NextTry::Stop(_) => None,
    }
}

#[test]
fn delays_double_with_a_fifth_of_jitter_up_to_the_longest() {
    for seed in 0..200 {
        let mut call = Call::new(
            Some(Retry {
                backoff_max: ms(90),
                ..policy()
            }),
            None,
        );
        call.random = seed * 10;
        for (least, most) in [(25, 30), (50, 60), (90, 90), (90, 90)] {
            let delay = delay_of(call.fails(UNAVAILABLE)).unwrap();
            assert!((ms(least)..=ms(most)).contains(&delay), "{delay:?}");
        }
        assert_eq!(call.fails(UNAVAILABLE), NextTry::Stop(Stop::Limit));
    }
}

#[test]
fn the_policy_says_which_failures_are_tried_again() {
    let policy = Retry {
        http_codes: Arc::from([503]),
        ..policy()
    };
    let none_left = Failure::Connect {
        is_other_left: false,
    };
    for (failure, is_retried) in [
        (UNAVAILABLE, true),
        (Failure::Status(Code::ResourceExhausted), true),
        (Failure::Status(Code::Internal), false),
        (Failure::Http(503, None), true),
        (Failure::Http(500, None), false),
        // A gRPC call that something else answers, told in either language.
        (Failure::Http(429, Some(Code::Unavailable)), true),
        (Failure::Http(503, Some(Code::Internal)), true),
        (Failure::Http(400, Some(Code::Internal)), false),
        (Failure::Cut(Code::Unavailable), true),
        (Failure::Cut(Code::Internal), false),
        // Whatever the codes say.
        (Failure::TimedOut, true),
        (none_left, true),
    ] {
        let with = Call::new(Some(policy.clone()), None).fails(failure);
        assert_eq!(
            delay_of(with).is_some(),
            is_retried,
            "{failure:?}: {with:?}"
        );
        let without = Call::new(None, None).fails(failure);
        assert_eq!(without, NextTry::Stop(Stop::Final), "{failure:?}");
    }
}

#[test]
fn what_the_server_says_replaces_the_delay_or_stops() {
    let said = |push_back| move |report: &mut Report| report.push_back = Some(push_back);
    let mut call = Call::new(Some(policy()), None);
    call.fails(UNAVAILABLE);
    let after = call.fails_as(UNAVAILABLE, said(PushBack::After(ms(777))));
    assert_eq!(after, NextTry::Retry(ms(777)));
    let next = delay_of(call.fails(UNAVAILABLE)).unwrap();
    assert!(
        (ms(25)..=ms(30)).contains(&next),
        "starts small again: {next:?}"
    );
    let stopped = call.fails_as(UNAVAILABLE, said(PushBack::Stop));
    assert_eq!(stopped, NextTry::Stop(Stop::PushBack));
}

#[test]
fn a_server_s_delay_does_not_make_a_final_status_retryable() {
    let mut call = Call::new(Some(policy()), None);
    let next = call.fails_as(Failure::Status(Code::NotFound), |report| {
        report.push_back = Some(PushBack::After(ms(1)));
    });
    assert_eq!(next, NextTry::Stop(Stop::Final));
}

#[test]
fn what_is_committed_or_not_kept_cannot_be_tried_again() {
    let mut call = Call::new(Some(policy()), None);
    let committed = call.fails_as(UNAVAILABLE, |report| report.is_committed = true);
    assert_eq!(committed, NextTry::Stop(Stop::Committed));
    let lost = call.fails_as(UNAVAILABLE, |report| report.is_replayable = false);
    assert_eq!(lost, NextTry::Stop(Stop::Buffer));
    let refused = call.fails_as(Failure::Refused, |report| report.is_replayable = false);
    assert_eq!(refused, NextTry::Stop(Stop::Buffer));
}

#[test]
fn no_retry_starts_that_would_come_too_late() {
    let mut call = Call::new(Some(policy()), Some(ms(60)));
    assert!(delay_of(call.fails(UNAVAILABLE)).is_some());
    assert_eq!(call.fails(UNAVAILABLE), NextTry::Stop(Stop::Deadline));
    assert_eq!(call.tries.previous(), 1);
}

#[test]
fn a_refused_stream_is_sent_again_once_for_nothing() {
    for with_policy in [None, Some(policy())] {
        let is_retried = with_policy.is_some();
        let mut call = Call::new(with_policy, None);
        assert_eq!(
            call.fails(Failure::Refused),
            NextTry::Resend(Duration::ZERO)
        );
        assert_eq!(call.tries.previous(), 0);
        assert_eq!(call.tries.result_label(true), None);
        assert_eq!(delay_of(call.fails(Failure::Refused)).is_some(), is_retried);
    }
}

#[test]
fn a_call_that_never_left_goes_on_until_its_deadline() {
    let mut call = Call::new(None, Some(ms(5_000)));
    let start = call.now;
    assert_eq!(
        call.fails(Failure::NotSent),
        NextTry::Resend(Duration::ZERO)
    );
    let mut resent = 1;
    while let NextTry::Resend(pause) = call.fails(Failure::NotSent) {
        assert!((ms(1)..=ms(100)).contains(&pause));
        resent += 1;
    }
    let lasted = call.now - start;
    assert!((ms(4_800)..ms(5_000)).contains(&lasted), "{lasted:?}");
    assert!(resent < 80, "{resent} tries: the agent does not spin");
}

#[test]
fn without_a_deadline_a_call_that_never_leaves_ends_too() {
    let mut call = Call::new(None, None);
    let start = call.now;
    while let NextTry::Resend(_) = call.fails(Failure::NotSent) {}
    let lasted = call.now - start;
    assert!((ms(5_000)..ms(15_000)).contains(&lasted), "{lasted:?}");
}

#[test]
fn an_endpoint_that_takes_no_connection_is_passed_over_for_nothing() {
    let other = Failure::Connect {
        is_other_left: true,
    };
    let mut call = Call::new(None, None);
    for _ in 0..3 {
        assert_eq!(call.fails(other), NextTry::Resend(Duration::ZERO));
    }
    let last = call.fails(Failure::Connect {
        is_other_left: false,
    });
    assert_eq!(last, NextTry::Stop(Stop::Final));
    let resent = (0..100).filter(|_| matches!(call.fails(other), NextTry::Resend(_)));
    assert_eq!(resent.count(), 13, "sixteen endpoints are enough");
}

#[test]
fn an_exhausted_budget_stops_retries_and_is_not_charged_for_them() {
    let mut call = Call::new(Some(policy()), None);
    while call.budget.try_retry(call.now) {}
    assert_eq!(call.fails(UNAVAILABLE), NextTry::Stop(Stop::Budget));
    assert_eq!(
        call.fails(Failure::Refused),
        NextTry::Resend(Duration::ZERO)
    );
    call.now += ms(1_100);
    assert!(delay_of(call.fails(UNAVAILABLE)).is_some());
    let late = call.fails_as(UNAVAILABLE, |report| report.is_committed = true);
    assert_eq!(late, NextTry::Stop(Stop::Committed));
    let left = (0..50).filter(|_| call.budget.try_retry(call.now)).count();
    assert_eq!(left, 9, "one of ten was used");
}

#[test]
fn results_bear_the_labels_of_the_metric() {
    for (stop, label) in [
        (Stop::Final, None),
        (Stop::Committed, Some("committed")),
        (Stop::Limit, Some("limit")),
        (Stop::Buffer, Some("buffer")),
        (Stop::PushBack, Some("pushback")),
        (Stop::Deadline, Some("limit")),
        (Stop::Budget, Some("budget")),
    ] {
        assert_eq!(stop.label(), label);
    }
    let mut call = Call::new(Some(policy()), None);
    assert_eq!(
        call.tries.result_label(true),
        None,
        "the first try is no retry"
    );
    call.fails(UNAVAILABLE);
    assert_eq!(call.tries.result_label(true), Some("success"));
    assert_eq!(call.tries.result_label(false), Some("failure"));
}

proptest! {
    #[test]
    fn no_call_makes_more_retries_than_its_policy_has(attempts in 0_u32..10, failures in proptest::collection::vec(0_usize..6, 1..300), random in any::<u32>()) {
        let mut call = Call::new(Some(Retry { attempts, ..policy() }), Some(ms(10_000)));
        call.random = u64::from(random);
        let start = call.now;
        let kinds = [
            Failure::NotSent,
            Failure::Connect { is_other_left: true },
            Failure::Connect { is_other_left: false },
            Failure::Refused,
            Failure::TimedOut,
            UNAVAILABLE,
        ];
        let mut retries = 0;
        for failure in failures {
            match call.fails(kinds[failure]) {
                NextTry::Retry(_) => retries += 1,
                NextTry::Resend(_) => {}
                NextTry::Stop(_) => break,
            }
        }
        prop_assert!(retries <= attempts.min(4));
        prop_assert!(call.tries.previous() == retries);
        prop_assert!(call.now - start < ms(10_000));
    }
}
