//! The endpoints of a backend at one time, arranged for choosing; immutable but for a hint.

use super::endpoint::Endpoint;
use super::nanoseconds;
use crate::model::{Algorithm, LoadBalancing, OutlierDetection};
use crate::resilience::{Detector, Standing};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// How requests are spread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Algorithm and slow start.
    pub load_balancing: LoadBalancing,
    /// When an endpoint gets no requests for a while; `None`: never.
    pub outlier_detection: Option<OutlierDetection>,
    /// `sessionAffinity: ClientIP`: how long a client keeps its endpoint after a request, in seconds.
    pub affinity_timeout_s: Option<NonZeroU32>,
}

/// The least share of a full one that a new endpoint gets: Envoy's.
const SLOW_START_MIN: f64 = 0.1;

/// An endpoint and its weight in this set.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    /// At least 1.
    pub(super) weight: u32,
}

/// A set of endpoints.
#[derive(Debug)]
pub(super) struct Membership {
    settings: Settings,
    slow_start_ns: u64,
    /// All of them, ordered by address.
    pub(super) members: Arc<[Member]>,
    /// Those that get requests; empty only if there is no member.
    pub(super) available: Box<[Member]>,
    /// The others.
    pub(super) ejected: Box<[Arc<Endpoint>]>,
    /// Sums of the available's weights up to each; empty if all are equal.
    cumulative: Box<[u64]>,
    weight_sum: u64,
    weight_max: u32,
    /// How many of the available may never have been picked.
    unvisited: AtomicUsize,
    pub(super) detector: Option<Arc<Detector>>,
}

impl Membership {
    pub(super) fn empty(settings: Settings, now: Instant) -> Self {
        let outliers = settings.outlier_detection.clone();
        let detector = outliers.map(|outliers| Arc::new(Detector::new(outliers, now)));
        Self::new(settings, detector, Arc::from([]))
    }

    /// The set after this one. Health is judged on with the same settings, else anew.
    pub(super) fn followed_by(
        &self,
        settings: &Settings,
        mut members: Vec<Member>,
        now: Instant,
    ) -> Self {
        members.sort_by_key(|member| member.endpoint.address());
        members.dedup_by_key(|member| member.endpoint.address());
        let detector = settings.outlier_detection.as_ref().map(|wanted| {
            let same = self
                .detector
                .as_ref()
                .filter(|old| old.settings() == wanted);
            same.map_or_else(|| Arc::new(Detector::new(wanted.clone(), now)), Arc::clone)
        });
        Self::new(settings.clone(), detector, members.into())
    }

    /// The same set after endpoints were ejected or readmitted.
    pub(super) fn rebuilt(&self) -> Self {
        Self::new(
            self.settings.clone(),
            self.detector.clone(),
            Arc::clone(&self.members),
        )
    }

    fn new(settings: Settings, detector: Option<Arc<Detector>>, members: Arc<[Member]>) -> Self {
        let is_in = |member: &&Member| member.endpoint.health().standing() == Standing::In;
        // Ejection is over with its policy, and where the endpoints that were in have left the set.
        if detector.is_none() || !members.iter().any(|member| is_in(&member)) {
            let out = members.iter().filter(|member| !is_in(member));
            out.for_each(|member| member.endpoint.health().readmit());
        }
        let (available, out): (Vec<&Member>, Vec<&Member>) = members.iter().partition(is_in);
        let available: Box<[Member]> = available.into_iter().cloned().collect();
        let out = out.into_iter().map(|member| Arc::clone(&member.endpoint));
        let ejected = out.collect();
        let is_new = |member: &&Member| member.endpoint.picked_ns() == 0;
        let unvisited = available.iter().filter(is_new).count();
        let cumulative = cumulative(&available);
        let weights = || available.iter().map(|member| member.weight);
        Self {
            slow_start_ns: settings.load_balancing.slow_start.map_or(0, nanoseconds),
            settings,
            ejected,
            cumulative,
            weight_sum: weights().map(u64::from).sum(),
            weight_max: weights().max().unwrap_or(1),
            unvisited: AtomicUsize::new(unvisited),
            detector,
            available,
            members,
        }
    }

    pub(super) const fn algorithm(&self) -> &Algorithm {
        &self.settings.load_balancing.algorithm
    }

    pub(super) fn affinity_timeout_s(&self) -> Option<u32> {
        self.settings.affinity_timeout_s.map(NonZeroU32::get)
    }

    pub(super) const fn has_equal_weights(&self) -> bool {
        self.cumulative.is_empty()
    }

    pub(super) const fn weight_sum(&self) -> u64 {
        self.weight_sum
    }

    /// The available endpoint to which this number below the sum of weights belongs.
    pub(super) fn at_weight(&self, number: u64) -> usize {
        self.cumulative.partition_point(|sum| *sum <= number)
    }

    /// The share of its weight that an endpoint gets now: grows in a line from a tenth to a whole over the slow start.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share need not be exact to the nanosecond"
    )]
    pub(super) fn warmth(&self, member: &Member, now_ns: u64) -> f64 {
        match member.endpoint.age_ns(now_ns) {
            Some(age_ns) if age_ns < self.slow_start_ns => {
                (age_ns as f64 / self.slow_start_ns as f64).max(SLOW_START_MIN)
            }
            _ => 1.0,
        }
    }

    /// The weight of an endpoint as it counts now, where the average one's is 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of weights are far below 2^52"
    )]
    pub(super) fn relative_weight(&self, member: &Member, now_ns: u64) -> f64 {
        let average = self.weight_sum as f64 / self.available.len() as f64;
        f64::from(member.weight) / average * self.warmth(member, now_ns)
    }

    /// The weight of an endpoint as it counts now, where the largest is 1.
    pub(super) fn share_of_largest(&self, member: &Member, now_ns: u64) -> f64 {
        f64::from(member.weight) / f64::from(self.weight_max) * self.warmth(member, now_ns)
    }

    /// Whether some endpoint may never have been picked.
    pub(super) fn has_unvisited(&self) -> bool {
        self.unvisited.load(Ordering::Relaxed) > 0
    }

    /// All have been.
    pub(super) fn all_visited(&self) {
        self.unvisited.store(0, Ordering::Relaxed);
    }
}

fn cumulative(members: &[Member]) -> Box<[u64]> {
    let is_equal = |pair: &[Member]| pair[0].weight == pair[1].weight;
    if members.windows(2).all(is_equal) {
        return Box::default();
    }
    let sums = members.iter().scan(0_u64, |sum, member| {
        *sum += u64::from(member.weight);
        Some(*sum)
    });
    sums.collect()
}
