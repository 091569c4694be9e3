//! The BPF file system, where the agent pins what must outlive it.

use std::path::Path;

use rustix::mount::{MountFlags, mount};

use crate::error::Error;
use crate::setup::{Finding, Machine, Scope, Step};

pub(super) const STEP: Step = Step {
    name: "bpffs",
    scope: Scope::Run,
    needs_root: true,
    possible: |_| true,
    inspect,
    carry_out,
    by_hand,
};

const MOUNT_POINT: &str = "/sys/fs/bpf";

/// From `linux/magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

fn inspect(_machine: &Machine) -> Finding {
    if !Path::new(MOUNT_POINT).is_dir() {
        return Finding::Missing(format!(
            "{MOUNT_POINT} does not exist: sysfs or kernel support is missing"
        ));
    }
    let is_mounted = rustix::fs::statfs(MOUNT_POINT)
        .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|magic| magic == BPF_FS_MAGIC));
    if is_mounted {
        return Finding::Ready(format!("mounted at {MOUNT_POINT}"));
    }
    Finding::Missing(format!("nothing is mounted at {MOUNT_POINT}"))
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    mount("bpf", MOUNT_POINT, "bpf", MountFlags::empty(), None)
        .map_err(|error| Error::file("mount bpf at", MOUNT_POINT, error.into()))
}

fn by_hand(_machine: &Machine) -> String {
    format!("as root: mount -t bpf bpf {MOUNT_POINT}")
}
