//! Where commands learn what is in force: a running agent, or manifests without one.

use super::output::complain;
use super::{AdminArgument, CommandError, client};
use crate::api::Problem;
use crate::api::quantity::count;
use crate::model::NodeIdentity;
use crate::plan::Catalog;
use crate::reconcile::Plans;
use crate::source::file::read_directory;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::path::{Path, PathBuf};

/// Where to learn what is in force.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct InForceArguments {
    /// A running agent.
    #[command(flatten)]
    admin: AdminArgument,

    /// Directory of manifests to read instead of asking a running agent
    // Not MESH_CONFIG: who has that set for `run` still wants to see what the agent does.
    #[arg(
        id = "manifests",
        long = "config",
        env = "MESH_MANIFESTS",
        value_name = "DIR"
    )]
    manifests: Option<PathBuf>,

    /// Node from which the manifests are seen (with --config) [default: none: nothing is near]
    #[arg(long, env = "MESH_NODE", value_name = "NAME")]
    node: Option<String>,
}

/// What manifests say.
pub(super) struct Manifests {
    /// What would be in force.
    pub(super) plans: Plans,
    /// What is wrong with them.
    pub(super) problems: Vec<Problem>,
}

impl InForceArguments {
    /// Asks the agent for `path`, or `manifests` what they say.
    pub(super) fn ask<T, E>(
        &self,
        path: &str,
        manifests: impl FnOnce(&Manifests) -> Result<T, E>,
    ) -> Result<T, CommandError>
    where
        T: DeserializeOwned,
        E: Error + 'static,
    {
        match &self.manifests {
            Some(directory) => Ok(manifests(&self.read(directory)?)?),
            None => Ok(client::get(self.admin.admin, path)?),
        }
    }

    fn read(&self, directory: &Path) -> Result<Manifests, CommandError> {
        let batch = read_directory(directory)?;
        let node = NodeIdentity::named(self.node.as_deref().unwrap_or_default());
        let mut catalog = Catalog::new(node);
        catalog.set_files(batch.files.into_iter().collect());
        let rejected = catalog.rejected();
        if rejected > 0 {
            complain(&format!(
                "{} not in force as written; `mesh-agent validate {}` says why",
                count(rejected, "object"),
                directory.display()
            ));
        }
        let in_catalog = catalog.problems();
        let problems = batch.problems.iter().chain(&in_catalog);
        Ok(Manifests {
            plans: Plans::of(&catalog),
            problems: problems.map(Problem::from).collect(),
        })
    }
}
