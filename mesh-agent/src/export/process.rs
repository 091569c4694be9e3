//! Reads what the agent itself uses from `/proc`.

use crate::observe::ProcessFigures;
use rustix::time::{ClockId, clock_gettime};
use std::fs;

/// Reads the figures now; each costs one system call or two.
#[must_use]
pub fn read_process(start_time_seconds: f64) -> ProcessFigures {
    ProcessFigures {
        resident_bytes: fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| resident_bytes(&status)),
        cpu_seconds: Some(cpu_seconds()),
        open_fds: fs::read_dir("/proc/self/fd")
            .ok()
            .and_then(|entries| u64::try_from(entries.count()).ok())
            // The directory that is being read is open too.
            .map(|count| count.saturating_sub(1)),
        start_time_seconds,
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "CPU seconds of a process are far below 2^52"
)]
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::{read_process, resident_bytes};

    #[test]
    fn resident_memory_is_read_in_bytes_and_nonsense_is_no_figure() {
        for (status, expected) in [
            (
                "Name:\tx\nVmRSS:\t   20480 kB\nThreads:\t1\n",
                Some(20_971_520),
            ),
            ("Name:\tx\n", None),
            ("VmRSS:\tmany kB\n", None),
            ("VmRSS:\t18446744073709551615 kB\n", None),
        ] {
            assert_eq!(resident_bytes(status), expected, "{status:?}");
        }
    }

    #[test]
    fn this_process_has_every_figure() {
        let figures = read_process(1.0);
        assert!(figures.resident_bytes.unwrap() > 4096);
        assert!(figures.open_fds.unwrap() >= 3);
        assert!(figures.cpu_seconds.unwrap() > 0.0);
    }
}
