//! Programs of the tests package that show or measure the mesh: built, then run in place of this one.

use std::os::unix::process::CommandExt;

use crate::build::build_agent;
use crate::error::Error;
use crate::process::{cargo, command, run};
use crate::setup::{Scope, setup};
use crate::workspace;

/// A program of the tests package.
pub(crate) struct Program {
    /// What to call it where root is missing.
    pub(crate) what: &'static str,
    /// Its binary.
    pub(crate) binary: &'static str,
    /// How much of the machine it needs.
    pub(crate) scope: Scope,
    /// Other binaries of the package that it starts.
    pub(crate) companions: &'static [&'static str],
}

impl Program {
    /// Builds the agent and the program, then becomes the program, so that Ctrl-C reaches nobody else.
    ///
    /// # Errors
    /// When the caller is not root, or set-up or a build fails. Does not return otherwise.
    pub(crate) fn build_and_become(&self, arguments: &[String]) -> Result<(), Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NeedsRoot { what: self.what });
        }
        setup(self.scope)?;
        build_agent()?;
        let mut build = cargo(&["build", "--release", "--package", "mesh-tests"]);
        for binary in [&self.binary].into_iter().chain(self.companions) {
            build.args(["--bin", binary]);
        }
        run(&mut build)?;

        let path = workspace::release(self.binary);
        let mut program = command(&path);
        program
            .env("MESH_AGENT_BIN", workspace::agent())
            .args(arguments);
        let rivals = [
            ("MESH_ENVOY", workspace::envoy()),
            ("MESH_HAPROXY", workspace::haproxy()),
        ];
        for (variable, found) in rivals {
            if let Some(found) = found {
                program.env(variable, found);
            }
        }
        let error = program.exec();
        Err(Error::start(&path.display().to_string(), error))
    }
}
