//! `mesh-agent check`

use super::arguments::ProbeArguments;
use super::{CommandError, KernelArguments, OutputFormat, Verdict};
use crate::api::quantity;
use crate::kernel::{self, Capacities, Finding, Settings, Status};
use std::fmt::{self, Write as _};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    kernel: KernelArguments,

    #[command(flatten)]
    probes: ProbeArguments,
}

pub(super) fn execute(
    arguments: &Arguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let settings = Settings {
        cgroup: arguments.kernel.cgroup()?,
        bpffs: arguments.kernel.bpffs.clone(),
        capacities: Capacities::default(),
        log_level: None,
        proxy_port: 0,
    };
    let findings = kernel::check(&settings, &arguments.probes.injections);
    output.print(&findings, |_| text(&findings));
    let is_failed = findings
        .iter()
        .any(|finding| finding.status == Status::Failed);
    Ok(if is_failed {
        Verdict::SomethingWrong
    } else {
        Verdict::Fine
    })
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    findings
        .iter()
        .try_for_each(|finding| write_finding(&mut text, finding))
        .and_then(|()| write_sum(&mut text, findings))
        .ok();
    text
}

fn write_finding(text: &mut String, finding: &Finding) -> fmt::Result {
    let Finding {
        probe,
        status,
        evidence,
        effect,
        remedy,
    } = finding;
    let mark = match status {
        Status::Ok => "ok     ",
        Status::Warning => "WARNING",
        Status::Failed => "FAILED ",
    };
    writeln!(text, "{mark}  {probe}: {evidence}")?;
    if !effect.is_empty() {
        writeln!(text, "         so: {effect}")?;
    }
    if !remedy.is_empty() {
        writeln!(text, "         do: {remedy}")?;
    }
    Ok(())
}

fn write_sum(text: &mut String, findings: &[Finding]) -> fmt::Result {
    let count = |status| {
        findings
            .iter()
            .filter(|finding| finding.status == status)
            .count()
    };
    let verdict = match (count(Status::Failed), count(Status::Warning)) {
        (0, 0) => "the mesh can run here in full".to_owned(),
        (0, warnings) => format!(
            "the mesh can run here, with {}",
            quantity::count(warnings, "warning")
        ),
        (failed, _) => format!(
            "the mesh cannot run here: {} failed",
            quantity::count(failed, "probe")
        ),
    };
    writeln!(text, "\n{verdict}")
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::kernel::{Finding, Status};

    fn finding(status: Status, effect: &'static str, remedy: &str) -> Finding {
        Finding {
            probe: "bpffs",
            status,
            evidence: "statfs".to_owned(),
            effect,
            remedy: remedy.to_owned(),
        }
    }

    #[test]
    fn a_failed_probe_says_what_follows_and_what_to_do() {
        let findings = [
            finding(Status::Ok, "", ""),
            finding(Status::Warning, "fewer labels", "enable BTF"),
            finding(Status::Failed, "nothing can be pinned", "mount it"),
        ];
        assert_eq!(
            format!("\n{}", text(&findings)),
            "
ok       bpffs: statfs
WARNING  bpffs: statfs
         so: fewer labels
         do: enable BTF
FAILED   bpffs: statfs
         so: nothing can be pinned
         do: mount it

the mesh cannot run here: 1 probe failed
"
        );
        assert!(text(&findings[..1]).ends_with("in full\n"));
        assert!(text(&findings[..2]).ends_with("with 1 warning\n"));
    }
}
