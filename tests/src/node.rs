//! A node of the cluster: where one agent does its work.

use crate::agent::Agent;
use crate::binary;
use crate::cgroup::Cgroup;
use crate::config_dir::ConfigDir;
use crate::deadline::unique_name;
use crate::error::{Context, Error, Result};
use crate::mounts;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};

/// A node: a cgroup, a bpffs directory, a configuration directory and a name. On drop everything is unloaded.
#[derive(Debug)]
pub struct Node {
    name: String,
    bpffs: PathBuf,
    config: ConfigDir,
    cgroup: Cgroup,
    agent_cgroup: Cgroup,
}

impl Node {
    /// Makes a node without an agent. Make pods after it, so that they end before it.
    ///
    /// # Errors
    /// If the agent has not been built, or cgroup2 or bpffs is not mounted.
    pub fn new(name: &str) -> Result<Self> {
        binary::agent()?;
        Ok(Self {
            name: name.to_owned(),
            bpffs: mounts::bpffs()?.join(unique_name("test")),
            config: ConfigDir::new()?,
            cgroup: Cgroup::new()?,
            agent_cgroup: Cgroup::new()?,
        })
    }

    /// Its name, as in `nodeName` of an endpoint.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cgroup whose processes are in the mesh.
    #[must_use]
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The cgroup of its agents, which are not in the mesh.
    #[must_use]
    pub fn agent_cgroup(&self) -> &Cgroup {
        &self.agent_cgroup
    }

    /// Where the agent pins; it does not exist before the first run.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// Its manifests.
    #[must_use]
    pub fn config(&self) -> &ConfigDir {
        &self.config
    }

    /// Starts an agent with further arguments and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready; the error shows its log.
    pub fn start_agent(&self, arguments: &[&str]) -> Result<Agent> {
        Agent::start(self, &self.agent_cgroup, arguments)
    }

    /// The command that runs an agent here, listening at `admin`.
    ///
    /// # Errors
    /// If the agent has not been built.
    pub fn run_command(&self, admin: SocketAddr) -> Result<Command> {
        let mut command = self.command("run")?;
        command.arg("--config").arg(self.config.path());
        command.args(["--node", &self.name, "--admin", &admin.to_string()]);
        Ok(command)
    }

    /// A command of the agent's binary that takes `--cgroup` and `--bpffs`: `run`, `check` or `unload`.
    ///
    /// # Errors
    /// If the agent has not been built.
    pub fn command(&self, verb: &str) -> Result<Command> {
        let mut command = Command::new(binary::agent()?);
        command.arg(verb);
        command.arg("--cgroup").arg(self.cgroup.path());
        command.arg("--bpffs").arg(&self.bpffs);
        Ok(command)
    }

    /// Runs `unload` and checks that no pin is left.
    ///
    /// # Errors
    /// If it fails or leaves something.
    pub fn unload(&self) -> Result<Output> {
        let output = run(self.command("unload")?)?;
        if !output.status.success() {
            return Err(Error::Program {
                program: "mesh-agent unload".to_owned(),
                status: output.status.to_string(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        if self.bpffs.exists() {
            return Err(Error::Unreadable {
                from: "mesh-agent unload".to_owned(),
                answer: format!("left {} behind", self.bpffs.display()),
            });
        }
        Ok(output)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let unloaded = self.unload();
        if !std::thread::panicking() {
            assert!(unloaded.is_ok(), "{unloaded:?}");
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// If it cannot be started.
pub fn run(mut command: Command) -> Result<Output> {
    let name = command.get_program().to_owned();
    command
        .output()
        .context(|| format!("run {}", Path::new::<OsStr>(&name).display()))
}

/// A loopback address for an admin server that no other test, process or earlier agent uses.
#[must_use]
pub fn admin_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(100);
    let [.., high, low] = std::process::id().to_be_bytes();
    let block = NEXT.fetch_add(1, Ordering::Relaxed);
    (Ipv4Addr::new(127, block, high, low), 15_000).into()
}
