//! `mesh-agent unload`

use super::{CommandError, KernelArguments, OutputFormat, Verdict};
use crate::kernel::{self, UnloadReport};
use std::path::Path;

pub(super) fn execute(
    arguments: &KernelArguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let cgroup = arguments.cgroup()?;
    let report = kernel::unload(&cgroup, &arguments.bpffs)?;
    output.print(&report, |_| text(&report, &arguments.bpffs));
    Ok(Verdict::Fine)
}

fn text(report: &UnloadReport, bpffs: &Path) -> String {
    if report.removed.is_empty() {
        return format!("nothing was loaded at {}\n", bpffs.display());
    }
    let mut text = String::new();
    for path in &report.removed {
        text.push_str(&format!("removed {}\n", path.display()));
    }
    text.push_str("the mesh is gone from this machine's kernel\n");
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::kernel::UnloadReport;
    use std::path::Path;

    #[test]
    fn every_removed_pin_is_named_and_nothing_is_said_to_be_nothing() {
        let bpffs = Path::new("/sys/fs/bpf/mesh");
        let nothing = text(&UnloadReport::default(), bpffs);
        assert_eq!(nothing, "nothing was loaded at /sys/fs/bpf/mesh\n");

        let report = UnloadReport {
            removed: vec![bpffs.join("v1/links/connect4"), bpffs.to_owned()],
        };
        assert_eq!(
            text(&report, bpffs),
            "removed /sys/fs/bpf/mesh/v1/links/connect4\nremoved /sys/fs/bpf/mesh\n\
             the mesh is gone from this machine's kernel\n"
        );
    }
}
