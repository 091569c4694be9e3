//! One CPU for everybody who takes part in what is measured: no wake-ups across CPUs, and no time in which nobody works.

use mesh_tests::error::Context;
use mesh_tests::{Error, Result};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::path::Path;

/// Leaves the last CPU to those who are measured, if there is another for everything else; gives its number.
pub(crate) fn leave_one_cpu() -> Result<usize> {
    let mut cpus = sched_getaffinity(None).context(|| "ask which CPUs there are")?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| cpus.is_set(cpu));
    let last = last.unwrap_or(0);
    if cpus.count() > 1 {
        cpus.unset(last);
        sched_setaffinity(None, &cpus).context(|| "leave a CPU to those who are measured")?;
    }
    Ok(last)
}

/// Keeps a process, with all the threads that it has, on one CPU.
pub(crate) fn pin(process: u32, cpu: usize) -> Result {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    let folder = Path::new("/proc").join(process.to_string()).join("task");
    let threads = fs::read_dir(&folder).context(|| format!("list {}", folder.display()))?;
    for thread in threads.flatten() {
        let name = thread.file_name();
        let id = name.to_string_lossy().parse().ok().and_then(Pid::from_raw);
        let Some(id) = id else {
            return Err(Error::Unreadable {
                from: folder.display().to_string(),
                answer: name.to_string_lossy().into_owned(),
            });
        };
        sched_setaffinity(Some(id), &cpus)
            .context(|| format!("keep thread {} on CPU {cpu}", name.display()))?;
    }
    Ok(())
}
