//! Endpoints that answer worse than they should get no requests for a while (gRFC A50; the run of failures is Envoy's).
//!
//! ```text
//!         failures in a row, or too large a share of an interval's
//!   in ─────────────────────────────────────────────────────────▶ out until base × n, capped
//!   ▲                                                               │  ▲
//!   │ it answers                                  time is over, and │  │ it fails: n + 1
//!   │                                              a request comes  ▼  │
//!   └──────────────────────────────────────────────────────────── probing
//! ```
//! `n` counts ejections and falls by one with each interval that the endpoint stays in. At least one endpoint may be out,
//! never the last one.

use crate::grpc::Code;
use crate::model::{FailurePercentage, OutlierDetection};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a try said of the endpoint it went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered with this status, or with an HTTP status that stands for it; DEADLINE_EXCEEDED: `backendRequest` was over.
    Status(Code),
    /// It took no connection.
    ConnectFailed,
    /// It reset the stream or ended the connection before it had answered.
    Reset,
    /// Nothing: the caller cancelled, its deadline was over, or the mesh answered.
    Nothing,
}

/// Whether an endpoint gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    In,
    /// It does not, until this time; then one is sent to see.
    Out {
        /// When.
        until: Instant,
    },
    /// One is under way to see.
    Probing,
}

/// What is known of one endpoint.
#[derive(Debug)]
pub struct Health {
    /// Failures since the last success.
    consecutive: AtomicU32,
    /// Successes of this interval.
    succeeded: AtomicU32,
    /// Failures of this interval.
    failed: AtomicU32,
    ejection: Mutex<Ejection>,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    standing: Standing,
    /// A50's multiplier: how many base times the last ejection lasted.
    multiplier: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            consecutive: AtomicU32::new(0),
            succeeded: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            ejection: Mutex::new(Ejection {
                standing: Standing::In,
                multiplier: 0,
            }),
        }
    }
}

impl Health {
    /// Whether it gets requests.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.ejection().standing
    }

    /// Makes the request at hand the one that sees whether the endpoint is well; `false` if its time is not over or another
    /// request does that.
    #[must_use]
    pub fn starts_probe(&self, now: Instant) -> bool {
        let mut ejection = self.ejection();
        let is_due = matches!(ejection.standing, Standing::Out { until } if until <= now);
        if is_due {
            ejection.standing = Standing::Probing;
        }
        is_due
    }

    /// Lets it in whatever it did.
    pub fn readmit(&self) {
        self.reset_counts();
        self.consecutive.store(0, Ordering::Relaxed);
        self.ejection().standing = Standing::In;
    }

    fn reset_counts(&self) -> (u32, u32) {
        let failed = self.failed.swap(0, Ordering::Relaxed);
        (failed, self.succeeded.swap(0, Ordering::Relaxed))
    }

    fn eject(&self, settings: &OutlierDetection, now: Instant) {
        let mut ejection = self.ejection();
        ejection.multiplier = ejection.multiplier.saturating_add(1);
        let longest = settings.ejection_time_max.max(settings.base_ejection_time);
        let length = settings
            .base_ejection_time
            .saturating_mul(ejection.multiplier)
            .min(longest);
        // What no clock can count is as good as a year.
        let until = now.checked_add(length);
        ejection.standing = Standing::Out {
            until: until.unwrap_or(now + Duration::from_secs(31_536_000)),
        };
    }

    fn is_in(&self) -> bool {
        self.standing() == Standing::In
    }

    fn ejection(&self) -> MutexGuard<'_, Ejection> {
        self.ejection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has to be done after a try; the owner of the endpoints does it, one at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Due {
    /// [`Detector::eject`] for the try's endpoint.
    pub ejection: bool,
    /// [`Detector::sweep`] for so many intervals; zero: not yet.
    pub intervals: u32,
}

/// Decides which endpoints of one backend are out.
#[derive(Debug)]
pub struct Detector {
    settings: OutlierDetection,
    epoch: Instant,
    /// When the interval under way ends, since the epoch.
    interval_end_ns: AtomicU64,
}

impl Detector {
    /// Starts the first interval.
    #[must_use]
    pub fn new(settings: OutlierDetection, now: Instant) -> Self {
        let first_end_ns = nanoseconds(settings.interval);
        Self {
            settings,
            epoch: now,
            interval_end_ns: AtomicU64::new(first_end_ns),
        }
    }

    /// What it goes by.
    #[must_use]
    pub const fn settings(&self) -> &OutlierDetection {
        &self.settings
    }

    /// Whether a verdict counts against the endpoint.
    #[must_use]
    pub const fn is_failure(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Status(code) => self.settings.codes.contains(code.number()),
            Verdict::ConnectFailed | Verdict::Reset => true,
            Verdict::Nothing => false,
        }
    }

    /// Notes what a try said of its endpoint, and says what has to be done now. A few atomic words: many tries end at once.
    pub fn note(&self, health: &Health, verdict: Verdict, now: Instant) -> Due {
        let intervals = self.intervals_over(now);
        if verdict == Verdict::Nothing {
            return Due {
                ejection: false,
                intervals,
            };
        }
        if !self.is_failure(verdict) {
            health.succeeded.fetch_add(1, Ordering::Relaxed);
            // Mostly it is zero already: a read does not take the word from other cores.
            if health.consecutive.load(Ordering::Relaxed) != 0 {
                health.consecutive.store(0, Ordering::Relaxed);
            }
            return Due {
                ejection: false,
                intervals,
            };
        }
        health.failed.fetch_add(1, Ordering::Relaxed);
        let run = health
            .consecutive
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let bound = self.settings.consecutive_failures;
        Due {
            ejection: bound.is_some_and(|bound| run >= bound.get()),
            intervals,
        }
    }

    /// Ejects `target` if it is in and enough of `all`, itself among them, are; says whether it did. Otherwise its run of
    /// failures starts anew.
    pub fn eject(&self, target: &Health, all: &[&Health], now: Instant) -> bool {
        let is_allowed = target.is_in() && self.may_eject(all);
        if is_allowed {
            target.eject(&self.settings, now);
        } else {
            target.consecutive.store(0, Ordering::Relaxed);
        }
        is_allowed
    }

    /// Ends `intervals` intervals: ejects by failure percentage, worst first, forgets the counts, and forgives those that are
    /// in. Returns how many were ejected.
    pub fn sweep(&self, all: &[&Health], intervals: u32, now: Instant) -> u32 {
        for health in all {
            let mut ejection = health.ejection();
            if ejection.standing == Standing::In {
                ejection.multiplier = ejection.multiplier.saturating_sub(intervals);
            }
        }
        let counts: Vec<(u32, u32)> = all.iter().map(|health| health.reset_counts()).collect();
        let Some(rule) = &self.settings.failure_percentage else {
            return 0;
        };
        let mut ejected = 0;
        for index in outliers(rule, &counts) {
            if all[index].is_in() && self.may_eject(all) {
                all[index].eject(&self.settings, now);
                ejected += 1;
            }
        }
        ejected
    }

    /// Settles a probe: `true` if the endpoint is in again. One that says nothing leaves the place to another; one of an
    /// endpoint that has been let in otherwise settles nothing.
    pub fn ends_probe(&self, health: &Health, verdict: Verdict, now: Instant) -> bool {
        if health.standing() != Standing::Probing {
            return false;
        }
        if verdict == Verdict::Nothing {
            health.ejection().standing = Standing::Out { until: now };
            return false;
        }
        if self.is_failure(verdict) {
            health.eject(&self.settings, now);
            return false;
        }
        health.readmit();
        true
    }

    /// Whether one more of `all` may be out: within the percentage, at least one, never the last.
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of endpoints, far below 2^52"
    )]
    fn may_eject(&self, all: &[&Health]) -> bool {
        let out = all.iter().filter(|health| !health.is_in()).count();
        let share = (out + 1) as f64 * 100.0 / all.len() as f64;
        (out == 0 || share <= self.settings.ejection_percent_max) && out + 1 < all.len()
    }

    /// How many intervals have ended that nobody has swept; whoever gets a number other than zero has to.
    fn intervals_over(&self, now: Instant) -> u32 {
        let now_ns = nanoseconds(now.saturating_duration_since(self.epoch));
        let end_ns = self.interval_end_ns.load(Ordering::Relaxed);
        let Some(late_ns) = now_ns.checked_sub(end_ns) else {
            return 0;
        };
        let interval_ns = nanoseconds(self.settings.interval).max(1);
        let over = late_ns / interval_ns + 1;
        let next_ns = end_ns.saturating_add(over.saturating_mul(interval_ns));
        let swap = self.interval_end_ns.compare_exchange(
            end_ns,
            next_ns,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        // Another thread that was faster sweeps.
        swap.map_or(0, |_| u32::try_from(over).unwrap_or(u32::MAX))
    }
}

/// The endpoints whose share of failures is above the threshold, the worst first; none while too few had enough requests.
fn outliers(rule: &FailurePercentage, counts: &[(u32, u32)]) -> Vec<usize> {
    let volume = |(failed, succeeded): (u32, u32)| failed.saturating_add(succeeded);
    let is_counted = |count: &(u32, u32)| volume(*count) >= rule.request_volume.max(1);
    let hosts = counts.iter().filter(|count| is_counted(count)).count();
    if hosts < usize::try_from(rule.hosts_min).unwrap_or(usize::MAX) {
        return vec![];
    }
    let percent = |count: (u32, u32)| f64::from(count.0) * 100.0 / f64::from(volume(count));
    let counted = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| is_counted(count));
    let mut over: Vec<(usize, f64)> = counted
        .map(|(index, count)| (index, percent(*count)))
        .filter(|(_, percent)| *percent > rule.threshold)
        .collect();
    over.sort_by(|a, b| b.1.total_cmp(&a.1));
    over.into_iter().map(|(index, _)| index).collect()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
