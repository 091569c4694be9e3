//! Waiting for a state, with an end.

use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// How often a state is looked at.
const INTERVAL: Duration = Duration::from_millis(2);

/// Looks again and again until `probe` gives a value.
///
/// The probe answers `Ok(value)` once the awaited state is there, else `Err(what it saw)`.
///
/// # Errors
/// [`Error::Late`] with what was seen last.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let last = match probe() {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if Instant::now() >= end {
            return Err(Error::Late {
                what: what.to_owned(),
                limit,
                last,
            });
        }
        std::thread::sleep(INTERVAL);
    }
}

/// A name that no other test, run or process on this machine uses: `mesh-<label>-<pid>-<number>`.
#[must_use]
pub fn unique_name(label: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("mesh-{label}-{}-{number}", std::process::id())
}
