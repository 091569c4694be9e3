//! RPCs that were chosen to be looked at and then got lost in the agent: written by who loses them, read by a scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    spans: AtomicU64,
    tap_lines: AtomicU64,
    log_lines: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossFigures {
    /// Spans that were not delivered.
    pub spans: u64,
    /// Lines that a reader of `tap` was too slow for.
    pub tap_lines: u64,
    /// Lines of the access log that could not be written.
    pub log_lines: u64,
}

impl Losses {
    /// Notes spans that will not be delivered.
    pub fn spans(&self, count: u64) {
        self.0.spans.fetch_add(count, Ordering::Relaxed);
    }

    /// Notes a line that a reader of `tap` does not get.
    pub fn tap_line(&self) {
        self.0.tap_lines.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes lines of the access log that could not be written.
    pub fn log_lines(&self, count: u64) {
        self.0.log_lines.fetch_add(count, Ordering::Relaxed);
    }

    /// Copies the counts.
    #[must_use]
    pub fn figures(&self) -> LossFigures {
        LossFigures {
            spans: self.0.spans.load(Ordering::Relaxed),
            tap_lines: self.0.tap_lines.load(Ordering::Relaxed),
            log_lines: self.0.log_lines.load(Ordering::Relaxed),
        }
    }
}
