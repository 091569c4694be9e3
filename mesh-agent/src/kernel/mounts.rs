//! Where cgroup2 and bpf file systems are mounted, and whether a path lies on one.

use super::KernelError;
use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// Where the kernel documentation mounts a bpffs.
pub(super) const USUAL_BPFFS: &str = "/sys/fs/bpf";

/// Finds the cgroup2 mount whose root is the whole hierarchy, the default of `--cgroup`.
///
/// # Errors
///
/// There is none.
pub fn find_cgroup2_mount() -> Result<PathBuf, KernelError> {
    find(&mount_table()?, "cgroup2").ok_or(KernelError::NoCgroup2Mount)
}

/// Finds a bpffs mount.
#[must_use]
pub fn find_bpffs_mount() -> Option<PathBuf> {
    mount_table().ok().and_then(|table| find(&table, "bpf"))
}

/// Opens a directory of a cgroup2 file system.
///
/// # Errors
///
/// It is not there, or not on a cgroup2.
pub(super) fn open_cgroup(path: &Path) -> Result<OwnedFd, KernelError> {
    let directory = open_directory("open the cgroup", path)?;
    if !is_on(&directory, CGROUP2_MAGIC) {
        let hint = find_cgroup2_mount().map_or_else(
            |_| String::new(),
            |mount| format!(" (one is mounted at {})", mount.display()),
        );
        return Err(KernelError::NotCgroup2 {
            path: path.to_owned(),
            hint,
        });
    }
    Ok(directory)
}

/// Opens a directory.
pub(super) fn open_directory(action: &'static str, path: &Path) -> Result<OwnedFd, KernelError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| KernelError::io(action, path)(errno.into()))
}

/// Whether `path`, or else the nearest directory above it that exists, is on a bpffs.
pub(super) fn would_be_on_bpffs(path: &Path) -> bool {
    path.ancestors()
        .find_map(|directory| open_directory("open", directory).ok())
        .is_some_and(|directory| is_on(&directory, BPFFS_MAGIC))
}

fn is_on(directory: impl AsFd, magic: u64) -> bool {
    fstatfs(directory)
        .is_ok_and(|facts| u64::try_from(facts.f_type).is_ok_and(|found| found == magic))
}

fn mount_table() -> Result<String, KernelError> {
    let path = "/proc/self/mountinfo";
    std::fs::read_to_string(path).map_err(KernelError::io("read", path))
}

/// The mount point of the last whole file system of a type; the last one hides those before it.
fn find(table: &str, file_system: &str) -> Option<PathBuf> {
    table
        .lines()
        .filter_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(3);
            let root = fields.next()?;
            let point = fields.next()?;
            (source.split(' ').next()? == file_system && root == "/").then(|| unescape(point))
        })
        .next_back()
}

/// Resolves the octal escapes of `mountinfo` (proc(5): space, tab, newline and backslash).
fn unescape(field: &str) -> PathBuf {
    let plain = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let path = plain
        .iter()
        .fold(field.to_owned(), |path, (escape, character)| {
            path.replace(escape, character)
        });
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::find;
    use std::path::PathBuf;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 22 0:27 /pod /mnt/my\\040pod rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_cgroup2_mount_is_found_wherever_it_is_unless_it_shows_a_part() {
        assert_eq!(
            find(TABLE, "cgroup2"),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(find(TABLE, "bpf"), None);
    }

    #[test]
    fn escapes_in_mount_points_are_resolved() {
        let table = "33 22 0:27 / /mnt/my\\040pod rw shared:1 - bpf none rw";
        assert_eq!(find(table, "bpf"), Some(PathBuf::from("/mnt/my pod")));
    }
}
