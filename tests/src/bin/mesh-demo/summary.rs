//! What came of it: the figures at the end, and whether they are what they should be.

use crate::calls::Calls;
use crate::cluster::{CHANGED, JOINER, LEAVER, SERVICES};
use crate::edge::Edge;
use crate::table::time;
use mesh_tests::shop::Tally;
use serde::Serialize;
use std::fmt::{self, Display};

/// The closing figures.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// What is not as it should be.
    failures: Vec<String>,
    orders: u64,
    errors: u64,
    last_error: Option<String>,
    shares: Vec<Share>,
    #[serde(flatten)]
    seen: Seen,
}

/// What the agent has seen, and where to read more.
#[derive(Debug, Serialize)]
pub(crate) struct Seen {
    pub(crate) connections: Vec<Edge>,
    pub(crate) calls: Vec<Calls>,
    pub(crate) metrics: String,
}

/// One endpoint's part of its service's calls, from 0 to 1.
#[derive(Debug, Serialize)]
struct Share {
    service: &'static str,
    endpoint: &'static str,
    before: f64,
    after: f64,
}

impl Summary {
    /// Sums up: everything, and what happened before and after the change.
    pub(crate) fn new(all: &Tally, before: &Tally, after: &Tally, seen: Seen) -> Self {
        let shares = SERVICES
            .iter()
            .flat_map(|service| {
                service.endpoints.iter().map(|&endpoint| Share {
                    service: service.name,
                    endpoint,
                    before: before.share(service.name, endpoint),
                    after: after.share(service.name, endpoint),
                })
            })
            .collect();
        let mut summary = Self {
            failures: Vec::new(),
            orders: all.orders,
            errors: all.errors,
            last_error: all.last_error.clone(),
            shares,
            seen,
        };
        summary.failures = summary.judge();
        summary
    }

    /// Whether everything is as it should be.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    fn judge(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.orders == 0 {
            failures.push("no order was answered".to_owned());
        }
        if self.errors > 0 {
            let last = self.last_error.as_deref().unwrap_or("unknown");
            failures.push(format!(
                "{} orders failed, the last with {last}",
                self.errors
            ));
        }
        for edge in &self.seen.connections {
            let name = format!("{} > {}", edge.source, edge.destination);
            if edge.opened == 0 {
                failures.push(format!("the agent has seen no connection {name}"));
            }
            if edge.failed > 0 {
                failures.push(format!("{} connection attempts {name} failed", edge.failed));
            }
        }
        failures.extend(self.judge_calls());
        for share in &self.shares {
            let Share {
                endpoint,
                before,
                after,
                ..
            } = share;
            let had_calls = *before > 0.0;
            let has_calls = *after > 0.0;
            if had_calls == (*endpoint == JOINER) || has_calls == (*endpoint == LEAVER) {
                failures.push(format!(
                    "{endpoint} had {:.0} % of its service's calls, then {:.0} %",
                    before * 100.0,
                    after * 100.0
                ));
            }
        }
        failures
    }

    /// What the kernel's count of calls contradicts.
    fn judge_calls(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for service in SERVICES {
            let mut calls = self.seen.calls.iter();
            if !calls.any(|calls| calls.destination == service.name && calls.total() > 0) {
                failures.push(format!("the agent has metered no call to {}", service.name));
            }
        }
        for calls in self.seen.calls.iter().filter(|calls| calls.failed() > 0) {
            failures.push(format!(
                "{} calls {} > {} are metered as failed: {:?}",
                calls.failed(),
                calls.source,
                calls.method,
                calls.ended
            ));
        }
        failures
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nSUMMARY")?;
        writeln!(f, "orders answered {}, failed {}", self.orders, self.errors)?;
        for edge in &self.seen.connections {
            writeln!(
                f,
                "connections {} > {}: {} opened, {} closed, {} failed",
                edge.source, edge.destination, edge.opened, edge.closed, edge.failed
            )?;
        }
        for calls in &self.seen.calls {
            writeln!(
                f,
                "calls {} > {}: {} ended, {} failed, half of them within {}",
                calls.source,
                calls.method,
                calls.total(),
                calls.failed(),
                time(calls.p50_us)
            )?;
        }
        writeln!(
            f,
            "share of {CHANGED}'s calls before and after {JOINER} came and {LEAVER} went:"
        )?;
        for share in self.shares.iter().filter(|share| share.service == CHANGED) {
            writeln!(
                f,
                "  {:<12} {:>4.0} %  > {:>4.0} %",
                share.endpoint,
                share.before * 100.0,
                share.after * 100.0
            )?;
        }
        if self.is_good() {
            return write!(
                f,
                "as it should be: calls answered, none failed, traffic moved"
            );
        }
        write!(f, "NOT as it should be:\n  {}", self.failures.join("\n  "))
    }
}
