//! Threads that must not wait for a time slice of the applications they serve.

use rustix::process::{getpriority_process, setpriority_process};
use std::io;

/// The nice value of an urgent thread. On a node whose CPUs are all busy, a thread that wakes up waits for a time slice (3 ms
/// and more) at nice 0; at -10 its deadline comes before theirs (`sched(7)`, EEVDF).
const URGENT_NICE: i32 = -10;

/// Lets the calling thread, which works briefly and rarely, run before ordinary ones.
///
/// Linux keeps a nice value per thread (`setpriority(2)`, "C library/kernel differences"): the other threads keep theirs, new
/// ones inherit it.
///
/// # Errors
/// Without `CAP_SYS_NICE`: the thread stays as it was, which costs time only.
pub fn become_urgent() -> io::Result<()> {
    if getpriority_process(None)? > URGENT_NICE {
        setpriority_process(None, URGENT_NICE)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{URGENT_NICE, become_urgent};
    use rustix::process::getpriority_process;

    #[test]
    fn urgency_is_the_thread_s_own() {
        let before = getpriority_process(None).unwrap();
        let urgent = std::thread::spawn(|| {
            // Without the capability nothing may change.
            let is_allowed = become_urgent().is_ok();
            (is_allowed, getpriority_process(None).unwrap())
        });
        let (is_allowed, nice) = urgent.join().unwrap();
        assert_eq!(nice, if is_allowed { URGENT_NICE } else { before });
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
