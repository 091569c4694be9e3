//! Other people's programs on the cgroup and above it.

use super::{Outcome, Status};
use crate::kernel::bpf::{Attached, HOOKS, query};
use crate::kernel::{Settings, mounts};
use aya::programs::loaded_programs;
use std::os::fd::AsFd;
use std::path::Path;

/// Looks for programs that were attached alone: they suffer no other beside them, or none below.
///
/// The kernel's rule (`hierarchy_allows_attach`): the nearest cgroup above that has a program decides, and on the
/// cgroup itself all must have been attached in the same way.
pub(super) fn conflicts(settings: &Settings) -> Outcome {
    let cgroup = &settings.cgroup;
    let mut neighbours = Vec::new();
    for hook in HOOKS {
        for (index, directory) in cgroup.ancestors().enumerate() {
            let Ok(fd) = mounts::open_cgroup(directory) else {
                break;
            };
            let attached = match query(fd.as_fd(), hook) {
                Ok(attached) => attached,
                Err(error) => {
                    return Outcome::warning(format!(
                        "cannot ask what is attached to {} of {}: {error}",
                        hook.name,
                        directory.display()
                    ));
                }
            };
            if attached.programs.is_empty() {
                continue;
            }
            let described = describe(directory, hook.name, &attached);
            let is_fine = if index == 0 {
                attached.allows_others()
            } else {
                attached.allows_below()
            };
            if !is_fine {
                return conflict(directory, hook.name, &attached, described);
            }
            neighbours.push(described);
            if index > 0 {
                break;
            }
        }
    }
    if neighbours.is_empty() {
        return Outcome::ok(format!("no programs on {} or above", cgroup.display()));
    }
    Outcome::ok(format!(
        "programs that allow others: {}",
        neighbours.join("; ")
    ))
}

fn conflict(directory: &Path, hook: &str, attached: &Attached, described: String) -> Outcome {
    let ids: Vec<_> = attached.programs.iter().map(u32::to_string).collect();
    Outcome {
        status: Status::Failed,
        evidence: format!("{described}, attached without a flag that allows others"),
        remedy: Some(format!(
            "detach it (bpftool cgroup detach {} {} id {}), or have its owner attach it with BPF_F_ALLOW_MULTI or a link",
            directory.display(),
            hook,
            ids.join(" ")
        )),
    }
}

fn describe(directory: &Path, hook: &str, attached: &Attached) -> String {
    let programs: Vec<_> = attached.programs.iter().map(|id| name(*id)).collect();
    format!(
        "{} on {hook} of {}",
        programs.join(", "),
        directory.display()
    )
}

fn name(id: u32) -> String {
    let found = loaded_programs()
        .flatten()
        .find(|program| program.id() == id);
    let name = found
        .as_ref()
        .and_then(|program| program.name_as_str())
        .unwrap_or_default();
    format!("program {id} `{name}`")
}
