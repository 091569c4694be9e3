//! Names processes of the host: the systemd unit of their cgroup, or else their command.

use super::bpf::{Cursor, read_batch};
use crate::observe::SourceLabels;
use mesh_common::source::{HostSourceKey, SOURCE_HOST_OTHER};
use rustix::fd::FromRawFd;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use zerocopy::FromZeros;

/// Processes read with one system call.
const BATCH: usize = 128;

/// `FILEID_KERNFS` of `linux/exportfs.h`: the handle of a cgroup is its id (kernel 5.5).
const FILEID_KERNFS: libc::c_int = 0xfe;

/// `struct file_handle` with a cgroup id in it.
#[repr(C)]
struct CgroupHandle {
    bytes: libc::c_uint,
    handle_type: libc::c_int,
    id: u64,
}

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
        Self { cgroup, names: HashMap::new() }
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
    pub(super) fn refresh(&mut self, map: BorrowedFd<'_>) -> io::Result<usize> {
        let mut keys = vec![HostSourceKey::new_zeroed(); BATCH];
        let mut ids = vec![0_u32; BATCH];
        let mut cursor = Cursor::Start;
        let mut total = 0;
        while cursor != Cursor::End {
            let count = read_batch(map, &mut cursor, &mut keys, &mut ids)?;
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
        SourceLabels { workload: Arc::from(workload), namespace: Arc::from("") }
    }
}

/// The path of a cgroup, by its id.
fn cgroup_path(mount: BorrowedFd<'_>, id: u64) -> io::Result<std::path::PathBuf> {
    let mut handle = CgroupHandle { bytes: 8, handle_type: FILEID_KERNFS, id };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the handle is laid out as `struct file_handle` with the 8 bytes it says, and outlives the call.
    let fd = unsafe {
        libc::open_by_handle_at(mount.as_raw_fd(), std::ptr::from_mut(&mut handle).cast(), flags)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just made this descriptor, and nobody else knows it.
    let directory = unsafe { OwnedFd::from_raw_fd(fd) };
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
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
    let end = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    String::from_utf8_lossy(&padded[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{command, unit};
    use std::path::Path;

    #[test]
    fn a_process_is_named_after_the_innermost_unit() {
        for (path, expected) in [
            ("/sys/fs/cgroup/system.slice/sshd.service", Some("sshd.service")),
            ("/c/user.slice/user@1000.service/app.slice/app-x.scope/sub", Some("app-x.scope")),
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
