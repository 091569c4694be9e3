//! `mesh-agent validate DIR`: what a running agent would say of a directory of manifests, offline.

use super::{CommandError, OutputFormat, Verdict};
use crate::model::{NodeIdentity, Problem, Severity};
use crate::plan::Catalog;
use crate::source::SourceError;
use crate::source::file::read_directory;
use std::path::{Path, PathBuf};

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Directory of YAML or JSON manifests
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// What was found.
#[derive(Debug, serde::Serialize)]
struct Findings {
    /// Files read.
    files: usize,
    /// Services that would be in force.
    services: usize,
    /// Endpoints that would be in force.
    endpoints: usize,
    /// Objects that would not be in force as written.
    rejected: usize,
    /// Everything wrong, in config order.
    problems: Vec<Problem>,
}

impl Findings {
    fn of(directory: &Path) -> Result<Self, SourceError> {
        let batch = read_directory(directory)?;
        let files = batch.files.len();
        let mut catalog = Catalog::new(NodeIdentity::named(""));
        catalog.set_files(batch.files.into_iter().collect());
        let mut problems = batch.problems;
        problems.extend(catalog.problems());
        Ok(Self {
            files,
            services: catalog.services().count(),
            endpoints: catalog.used().endpoints,
            rejected: catalog.rejected(),
            problems,
        })
    }

    fn count(&self, severity: Severity) -> usize {
        let problems = self.problems.iter();
        problems.filter(|p| p.severity == severity).count()
    }

    /// Warnings alone are fine: everything is in force.
    fn verdict(&self) -> Verdict {
        if self.count(Severity::Error) == 0 {
            Verdict::Fine
        } else {
            Verdict::SomethingWrong
        }
    }
}

pub(super) fn execute(
    arguments: &Arguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let findings = Findings::of(&arguments.directory)?;
    output.print(&findings, |_| report(&findings));
    Ok(findings.verdict())
}

/// Three lines per problem (where, what, what to do), so that nothing has to be cut.
fn report(findings: &Findings) -> String {
    let mut text = String::new();
    for problem in &findings.problems {
        text += &paragraph(problem);
    }
    text += &format!(
        "{}, {}, {}: {}, {}, {} rejected\n",
        quantity(findings.files, "file"),
        quantity(findings.services, "service"),
        quantity(findings.endpoints, "endpoint"),
        quantity(findings.count(Severity::Error), "error"),
        quantity(findings.count(Severity::Warning), "warning"),
        quantity(findings.rejected, "object"),
    );
    text
}

fn quantity(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn paragraph(problem: &Problem) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let line = match problem.line {
        0 => String::new(),
        line => format!(":{line}"),
    };
    let object = problem.object.as_ref();
    let object = object.map_or_else(String::new, |object| format!("  {object}"));
    let value = problem.value.as_ref();
    let value = value.map_or_else(String::new, |value| format!(" (found {value})"));
    let place = format!(
        "{severity:<7}  {}{line}{object}  {}",
        problem.file.display(),
        problem.path
    );
    let lines = [
        place.trim_end().to_owned(),
        format!("         {}{value}", problem.message),
        format!("         {}", problem.remedy),
    ];
    // A name from a manifest must not rewrite the terminal.
    let clean = |line: &String| line.replace(char::is_control, "?") + "\n";
    lines.iter().map(clean).collect::<String>() + "\n"
}

#[cfg(test)]
mod tests {
    use super::{Findings, report};
    use crate::cli::Verdict;
    use std::fs;

    fn check(manifest: &str, verdict: Verdict, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), manifest).unwrap();
        let findings = Findings::of(directory.path()).unwrap();
        let text = report(&findings).replace(&directory.path().display().to_string(), "DIR");
        assert_eq!(format!("\n{text}"), expected);
        assert_eq!(findings.verdict(), verdict);
    }

    #[test]
    fn an_error_is_told_with_its_place_value_and_remedy() {
        check(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n}\n\
             spec:\n  clusterIP: 127.96.0.1\n  ports: [{port: 0}]\n",
            Verdict::SomethingWrong,
            "
error    DIR/a.yaml:6  Service n/a  spec.ports[0].port
         no port number (found `0`)
         use a number from 1 to 65535

1 file, 0 services, 0 endpoints: 1 error, 0 warnings, 1 object rejected
",
        );
    }

    #[test]
    fn warnings_alone_are_fine() {
        check(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n",
            Verdict::Fine,
            "
warning  DIR/a.yaml:1  Secret default/a
         v1 Secret is not a kind of the mesh and has no effect
         remove it from this directory, or ignore this warning

1 file, 0 services, 0 endpoints: 0 errors, 1 warning, 0 objects rejected
",
        );
    }
}
