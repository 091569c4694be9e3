//! When endpoints are ejected, for how long, and what lets them in again.

use super::{Detector, Health, Standing, Verdict};
use crate::grpc::Code;
use crate::model::{FailurePercentage, OutlierDetection};
use proptest::prelude::proptest;
use std::time::{Duration, Instant};

const FAILURE: Verdict = Verdict::Status(Code::Unavailable);
const SUCCESS: Verdict = Verdict::Status(Code::Ok);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Endpoints under one detector; does what the detector says is due.
struct Endpoints {
    detector: Detector,
    healths: Vec<Health>,
}

impl Endpoints {
    fn new(settings: OutlierDetection, count: usize, now: Instant) -> Self {
        Self {
            detector: Detector::new(settings, now),
            healths: (0..count).map(|_| Health::default()).collect(),
        }
    }

    fn note(&self, index: usize, verdict: Verdict, now: Instant) {
        let all: Vec<&Health> = self.healths.iter().collect();
        let due = self.detector.note(all[index], verdict, now);
        if due.ejection {
            self.detector.eject(all[index], &all, now);
        }
        if due.intervals > 0 {
            self.detector.sweep(&all, due.intervals, now);
        }
    }

    fn note_many(&self, index: usize, verdict: Verdict, times: u32, now: Instant) {
        (0..times).for_each(|_| self.note(index, verdict, now));
    }

    fn out(&self) -> Vec<usize> {
        let is_out = |index: &usize| self.healths[*index].standing() != Standing::In;
        (0..self.healths.len()).filter(is_out).collect()
    }

    /// Until when an endpoint is out, counted from `now`.
    fn length(&self, index: usize, now: Instant) -> Option<Duration> {
        match self.healths[index].standing() {
            Standing::Out { until } => Some(until - now),
            Standing::In | Standing::Probing => None,
        }
    }
}

#[test]
fn a_run_of_failures_ejects_and_a_success_breaks_it() {
    let now = Instant::now();
    let endpoints = Endpoints::new(OutlierDetection::default(), 3, now);
    endpoints.note_many(0, FAILURE, 4, now);
    endpoints.note(0, SUCCESS, now);
    endpoints.note_many(0, FAILURE, 4, now);
    assert_eq!(endpoints.out(), [0_usize; 0]);
    endpoints.note(0, FAILURE, now);
    assert_eq!(endpoints.out(), [0]);
    assert_eq!(endpoints.length(0, now), Some(seconds(30)));
}

#[test]
fn only_what_an_endpoint_did_itself_counts() {
    let detector = Detector::new(OutlierDetection::default(), Instant::now());
    for (verdict, is_failure) in [
        (Verdict::Status(Code::Ok), false),
        (Verdict::Status(Code::NotFound), false),
        (Verdict::Status(Code::Cancelled), false),
        (Verdict::Status(Code::ResourceExhausted), false),
        (Verdict::Status(Code::Unavailable), true),
        (Verdict::Status(Code::Internal), true),
        (Verdict::Status(Code::Unknown), true),
        (Verdict::Status(Code::DeadlineExceeded), true),
        (Verdict::Status(Code::DataLoss), true),
        (Verdict::ConnectFailed, true),
        (Verdict::Reset, true),
        (Verdict::Nothing, false),
    ] {
        assert_eq!(detector.is_failure(verdict), is_failure, "{verdict:?}");
    }
}

#[test]
fn a_cancelled_try_neither_adds_to_a_run_nor_breaks_it() {
    let now = Instant::now();
    let endpoints = Endpoints::new(OutlierDetection::default(), 2, now);
    endpoints.note_many(0, FAILURE, 4, now);
    endpoints.note_many(0, Verdict::Nothing, 9, now);
    assert_eq!(endpoints.out(), [0_usize; 0]);
    endpoints.note(0, FAILURE, now);
    assert_eq!(endpoints.out(), [0]);
}

#[test]
fn at_least_one_may_be_out_and_never_the_last() {
    let now = Instant::now();
    for (count, percent, expected) in [
        (1, 100.0, 0),
        (2, 10.0, 1),
        (2, 100.0, 1),
        (3, 0.0, 1),
        (10, 10.0, 1),
        (10, 19.9, 1),
        (10, 20.0, 2),
        (10, 100.0, 9),
        (200, 10.0, 20),
    ] {
        let settings = OutlierDetection {
            ejection_percent_max: percent,
            ..OutlierDetection::default()
        };
        let endpoints = Endpoints::new(settings, count, now);
        (0..count).for_each(|index| endpoints.note_many(index, FAILURE, 20, now));
        assert_eq!(endpoints.out().len(), expected, "{percent} % of {count}");
    }
}

fn by_percentage() -> OutlierDetection {
    OutlierDetection {
        consecutive_failures: None,
        failure_percentage: Some(FailurePercentage::default()),
        ejection_percent_max: 20.0,
        ..OutlierDetection::default()
    }
}

#[test]
fn the_worst_share_of_an_interval_is_ejected_at_its_end() {
    let now = Instant::now();
    let endpoints = Endpoints::new(by_percentage(), 5, now);
    for (index, failures) in [(0, 0), (1, 61), (2, 100), (3, 60), (4, 10)] {
        endpoints.note_many(index, FAILURE, failures, now);
        endpoints.note_many(index, SUCCESS, 100 - failures, now);
    }
    endpoints.note(0, SUCCESS, now + seconds(9));
    assert_eq!(endpoints.out(), [0_usize; 0]);
    endpoints.note(0, SUCCESS, now + seconds(10));
    assert_eq!(endpoints.out(), [2]);
}

#[test]
fn shares_of_too_few_requests_or_endpoints_say_nothing() {
    let now = Instant::now();
    for (requests, busy, expected) in [(49, 3, 0), (50, 2, 0), (50, 3, 1)] {
        let endpoints = Endpoints::new(by_percentage(), 5, now);
        endpoints.note_many(0, FAILURE, requests, now);
        (1..busy).for_each(|index| endpoints.note_many(index, SUCCESS, requests, now));
        endpoints.note(4, Verdict::Nothing, now + seconds(10));
        assert_eq!(endpoints.out().len(), expected, "{requests} at {busy}");
    }
}

#[test]
fn counts_of_one_interval_do_not_reach_into_the_next() {
    let now = Instant::now();
    let endpoints = Endpoints::new(by_percentage(), 3, now);
    endpoints.note_many(0, FAILURE, 49, now);
    (1..3).for_each(|index| endpoints.note_many(index, SUCCESS, 60, now + seconds(10)));
    endpoints.note_many(0, FAILURE, 49, now + seconds(11));
    endpoints.note(1, SUCCESS, now + seconds(20));
    assert_eq!(endpoints.out(), [0_usize; 0]);
}

#[test]
fn each_ejection_lasts_longer_up_to_the_longest() {
    let mut now = Instant::now();
    let endpoints = Endpoints::new(OutlierDetection::default(), 2, now);
    endpoints.note_many(0, FAILURE, 5, now);
    for expected in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
        assert_eq!(endpoints.length(0, now), Some(seconds(expected)));
        now += seconds(expected);
        let health = &endpoints.healths[0];
        assert!(!health.starts_probe(now - Duration::from_nanos(1)));
        assert!(health.starts_probe(now));
        assert!(!health.starts_probe(now), "one request at a time");
        assert!(
            !endpoints
                .detector
                .ends_probe(health, Verdict::ConnectFailed, now)
        );
    }
}

#[test]
fn only_a_probe_that_is_answered_lets_it_in_again() {
    let start = Instant::now();
    let endpoints = Endpoints::new(OutlierDetection::default(), 2, start);
    let health = &endpoints.healths[0];
    endpoints.note_many(0, FAILURE, 5, start);
    endpoints.note_many(0, SUCCESS, 100, start + seconds(29));
    let now = start + seconds(31);
    assert_eq!(endpoints.out(), [0], "answers of before do not");
    assert!(health.starts_probe(now));
    assert!(!endpoints.detector.ends_probe(health, Verdict::Nothing, now));
    assert!(
        health.starts_probe(now),
        "a cancelled probe leaves its place"
    );
    assert!(endpoints.detector.ends_probe(health, SUCCESS, now));
    assert_eq!(endpoints.out(), [0_usize; 0]);
    endpoints.note_many(0, FAILURE, 4, now);
    assert_eq!(endpoints.out(), [0_usize; 0], "the run starts anew");
}

#[test]
fn time_without_ejection_makes_the_next_one_shorter() {
    let start = Instant::now();
    let settings = OutlierDetection {
        base_ejection_time: seconds(1),
        ..OutlierDetection::default()
    };
    let endpoints = Endpoints::new(settings, 2, start);
    let health = &endpoints.healths[0];
    let mut now = start;
    endpoints.note_many(0, FAILURE, 5, now);
    for _ in 0..3 {
        now += seconds(9);
        assert!(health.starts_probe(now));
        assert!(!endpoints.detector.ends_probe(health, FAILURE, now));
    }
    assert_eq!(endpoints.length(0, now), Some(seconds(4)));
    // Three intervals end while it is out, two while it is in.
    endpoints.note(1, SUCCESS, start + seconds(31));
    now = start + seconds(32);
    assert!(health.starts_probe(now) && endpoints.detector.ends_probe(health, SUCCESS, now));
    now = start + seconds(55);
    endpoints.note(1, SUCCESS, now);
    endpoints.note_many(0, FAILURE, 5, now);
    assert_eq!(endpoints.length(0, now), Some(seconds(3)), "4 - 2 + 1");
}

proptest! {
    #[test]
    fn whatever_happens_some_endpoint_is_in(count in 1_usize..6, percent in 0_usize..=100, events in proptest::collection::vec((0_usize..6, 0_u8..4, 0_u64..20), 1..200)) {
        let mut now = Instant::now();
        let settings = OutlierDetection {
            ejection_percent_max: percent as f64,
            failure_percentage: Some(FailurePercentage { threshold: 10.0, request_volume: 2, hosts_min: 1 }),
            ..OutlierDetection::default()
        };
        let endpoints = Endpoints::new(settings, count, now);
        for (index, kind, gap_s) in events {
            now += seconds(gap_s);
            let index = index % count;
            let health = &endpoints.healths[index];
            let verdict = [SUCCESS, FAILURE, Verdict::ConnectFailed, Verdict::Nothing][usize::from(kind)];
            if health.standing() == Standing::In {
                endpoints.note_many(index, verdict, 6, now);
            } else if health.starts_probe(now) {
                endpoints.detector.ends_probe(health, verdict, now);
            }
            let most = (count * percent / 100).max(1).min(count - 1);
            assert!(endpoints.out().len() <= most, "{} of {count}", endpoints.out().len());
        }
    }
}
