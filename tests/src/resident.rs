//! The memory of a process that is in RAM, and its peak.

use crate::error::{Context, Error, Result};
use std::fs;

/// What `/proc` calls the memory in RAM.
const NOW: &str = "VmRSS";

/// What it calls the most there was.
const PEAK: &str = "VmHWM";

/// Follows one process.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    process: u32,
}

impl Resident {
    /// Follows a process.
    #[must_use]
    pub const fn of(process: u32) -> Self {
        Self { process }
    }

    /// Bytes in RAM now; the peak starts from here.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn begin(self) -> Result<u64> {
        let file = format!("/proc/{}/clear_refs", self.process);
        // Resets the peak (`proc_pid_clear_refs(5)`).
        fs::write(&file, "5").context(|| format!("write {file}"))?;
        self.read(NOW)
    }

    /// The most bytes there were since [`Resident::begin`].
    ///
    /// # Errors
    /// If the process has ended.
    pub fn peak(self) -> Result<u64> {
        self.read(PEAK)
    }

    fn read(self, name: &str) -> Result<u64> {
        let file = format!("/proc/{}/status", self.process);
        let text = fs::read_to_string(&file).context(|| format!("read {file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        kibibytes
            .map(|kibibytes: u64| kibibytes << 10)
            .ok_or_else(|| Error::Unreadable {
                from: file,
                answer: text.clone(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Resident;

    #[test]
    fn the_peak_keeps_what_is_given_back() {
        let own = Resident::of(std::process::id());
        let before = own.begin().unwrap();
        let used = vec![1_u8; 64 << 20];
        assert_eq!(
            used.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
            64 << 20
        );
        drop(used);
        let peak = own.peak().unwrap();
        assert!(peak >= before + (60 << 20), "{before}, then {peak}");
    }
}
