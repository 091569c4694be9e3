//! Names processes of the host: the systemd unit of their cgroup, or else their command.

use super::KernelError;
use super::bpf::{Cursor, read_batch};
use super::sys::open_cgroup_by_id;
use crate::observe::SourceLabels;
use mesh_common::source::{HostSourceKey, SOURCE_HOST_OTHER};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};
use zerocopy::FromZeros;

/// Processes read with one system call.
const BATCH: usize = 128;

/// Names of the processes the kernel has given ids to. A name is looked up once, while the process
/// most likely still runs.
#[derive(Debug)]
pub(super) struct HostNames {
    /// Any directory of the cgroup2 file system.
    cgroup: OwnedFd,
    names: HashMap<u32, SourceLabels>,
}

impl HostNames {
    /// Starts with no names.
    pub(super) fn new(cgroup: OwnedFd) -> Self {
        Self {
            cgroup,
            names: HashMap::new(),
        }
    }

    /// The name behind an id.
    pub(super) fn get(&self, id: u32) -> Option<&SourceLabels> {
        self.names.get(&id)
    }

    /// Names processes that are new in `HOST_SOURCES`; returns how many are there.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub(super) fn refresh(&mut self, map: BorrowedFd<'_>) -> Result<usize, KernelError> {
        let mut keys = vec![HostSourceKey::new_zeroed(); BATCH];
        let mut ids = vec![0_u32; BATCH];
        let mut cursor = Cursor::Start;
        let mut total = 0;
        while cursor != Cursor::End {
            let count = read_batch(map, &mut cursor, &mut keys, &mut ids)
                .map_err(KernelError::system("read the processes of the host"))?;
            for (key, id) in keys.iter().zip(&ids).take(count) {
                if !self.names.contains_key(id) && *id != SOURCE_HOST_OTHER {
                    let name = self.name(key);
                    self.names.insert(*id, name);
                }
            }
            total += count;
        }
        Ok(total)
    }

    fn name(&self, key: &HostSourceKey) -> SourceLabels {
        let workload = cgroup_path(self.cgroup.as_fd(), key.cgroup)
            .ok()
            .and_then(|path| unit(&path))
            .unwrap_or_else(|| command(&key.command));
        SourceLabels {
            workload: Arc::from(workload),
            namespace: Arc::from(""),
        }
    }
}

/// The path of a cgroup, by its id.
fn cgroup_path(mount: BorrowedFd<'_>, id: u64) -> io::Result<PathBuf> {
    let directory = open_cgroup_by_id(mount, id)?;
    fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// The innermost systemd service or scope of a cgroup path.
fn unit(path: &Path) -> Option<String> {
    path.iter()
        .rev()
        .filter_map(|name| name.to_str())
        .find(|name| name.ends_with(".service") || name.ends_with(".scope"))
        .map(str::to_owned)
}

fn command(padded: &[u8; 16]) -> String {
    let end = padded
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(padded.len());
    String::from_utf8_lossy(&padded[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{command, unit};
    use std::path::Path;

    #[test]
    fn a_process_is_named_after_the_innermost_unit() {
        for (path, expected) in [
            (
                "/sys/fs/cgroup/system.slice/sshd.service",
                Some("sshd.service"),
            ),
            (
                "/c/user.slice/user@1000.service/app.slice/app-x.scope/sub",
                Some("app-x.scope"),
            ),
            ("/sys/fs/cgroup/mesh/test", None),
        ] {
            assert_eq!(unit(Path::new(path)).as_deref(), expected);
        }
    }

    #[test]
    fn a_command_ends_at_its_padding() {
        assert_eq!(command(b"curl\0\0\0\0\0\0\0\0\0\0\0\0"), "curl");
        assert_eq!(command(b"sixteen_letters!"), "sixteen_letters!");
    }
}
