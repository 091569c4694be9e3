//! Flags that several commands share. Each is also an environment variable.

use crate::kernel::{self, Injections, KernelError};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the programs are attached and pinned.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KernelArguments {
    /// Cgroup (v2) whose processes are in the mesh [default: the root of the cgroup2 mount]
    #[arg(long, env = "MESH_CGROUP", value_name = "PATH")]
    pub(super) cgroup: Option<PathBuf>,

    /// Directory on a bpf file system that holds the pins
    #[arg(
        long,
        env = "MESH_BPFFS",
        value_name = "DIR",
        default_value = "/sys/fs/bpf/mesh"
    )]
    pub(super) bpffs: PathBuf,
}

impl KernelArguments {
    /// The cgroup given, or the root of the cgroup2 mount.
    pub(super) fn cgroup(&self) -> Result<PathBuf, KernelError> {
        let given = self.cgroup.as_ref();
        given.map_or_else(kernel::find_cgroup2_mount, |path| Ok(path.clone()))
    }
}

/// Where a running agent is reached.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct AdminArgument {
    /// Address of the agent's admin server
    #[arg(
        long,
        env = "MESH_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:15000"
    )]
    pub(super) admin: SocketAddr,
}

/// A test aid: lets a probe fail on a machine where none does.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ProbeArguments {
    /// Results to pretend, as `probe=status:text`, separated by semicolons
    #[arg(
        id = "inject_probe",
        long = "inject-probe",
        env = "MESH_INJECT_PROBE",
        value_name = "RESULTS",
        hide = true,
        default_value = "",
        value_parser = Injections::parse
    )]
    pub(super) injections: Injections,
}
