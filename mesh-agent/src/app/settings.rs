//! From flags to the settings of each room.

use super::AppError;
use crate::cli::RunArguments;
use crate::kernel::{self, Capacities, KernelError, Settings};
use crate::model::NodeIdentity;
use std::fs;
use std::path::PathBuf;

/// The cgroup given, or the root of the cgroup2 mount.
///
/// # Errors
/// If none is given and none is mounted.
pub fn find_cgroup(given: Option<&PathBuf>) -> Result<PathBuf, KernelError> {
    given.map_or_else(kernel::find_cgroup2_mount, |path| Ok(path.clone()))
}

/// The node name given, or the host's name.
#[must_use]
pub fn node_name(arguments: &RunArguments) -> String {
    arguments.node.clone().unwrap_or_else(|| {
        fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap_or_default()
            .trim()
            .to_owned()
    })
}

pub(super) fn node(arguments: &RunArguments) -> Result<NodeIdentity, AppError> {
    let name = node_name(arguments);
    if name.is_empty() {
        return Err(AppError::Setting {
            flag: "--node",
            reason: "it is empty, and the host has no name either".to_owned(),
        });
    }
    Ok(NodeIdentity {
        zone: arguments.zone.as_deref().map(Into::into),
        region: arguments.region.as_deref().map(Into::into),
        ..NodeIdentity::named(&name)
    })
}

pub(super) fn of_kernel(arguments: &RunArguments) -> Result<Settings, AppError> {
    let capacities = &arguments.capacities;
    Ok(Settings {
        cgroup: find_cgroup(arguments.kernel.cgroup.as_ref())?,
        bpffs: arguments.kernel.bpffs.clone(),
        capacities: Capacities {
            services: capacities.service_capacity,
            endpoints: capacities.endpoint_capacity,
            connections: capacities.connection_capacity,
            host_sources: capacities.host_source_capacity,
            namespaces: capacities.namespace_capacity,
        },
        log_level: arguments.log.kernel_log.map(Into::into),
    })
}
