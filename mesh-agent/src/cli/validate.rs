//! `mesh-agent validate DIR`

use super::{CommandError, OutputFormat, Verdict};
use crate::api::{Problem, Problems};
use crate::model::NodeIdentity;
use crate::plan::Catalog;
use crate::source::file::read_directory;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Directory of manifests (YAML)
    directory: PathBuf,
}

pub(super) fn execute(
    arguments: &Arguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let batch = read_directory(&arguments.directory)?;
    let mut catalog = Catalog::new(NodeIdentity::named(""));
    catalog.set_files(batch.files.into_iter().collect());
    let in_catalog = catalog.problems();
    let all = batch.problems.iter().chain(&in_catalog);
    let problems: Vec<Problem> = all.map(Problem::from).collect();
    let answer = Problems {
        total: problems.len(),
        problems,
    };
    output.print(&answer, |_| text(&answer, catalog.services().count()));
    let is_wrong = answer
        .problems
        .iter()
        .any(|problem| problem.severity == "error");
    Ok(if is_wrong {
        Verdict::SomethingWrong
    } else {
        Verdict::Fine
    })
}

fn text(problems: &Problems, services: usize) -> String {
    let mut text = String::new();
    for problem in &problems.problems {
        text.push_str(&format!("{}: {}\n", problem.severity, problem.text));
    }
    let total = problems.total;
    text.push_str(&format!("{services} services, {total} problems\n"));
    text
}
