//! A running agent.

use crate::balance::{Balance, State};
use crate::cgroup::Cgroup;
use crate::config_dir::ConfigDir;
use crate::deadline::eventually;
use crate::error::{Context, Error, Result};
use crate::http;
use crate::metrics::Metrics;
use crate::node::{Node, admin_address, run};
use crate::process::Process;
use rustix::process::Signal;
use serde_json::Value;
use std::fmt::Debug;
use std::fs::File;
use std::net::SocketAddr;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// How long an agent may take to become ready: loading the programs takes a second on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// How long an agent may take to apply a change. Far above the 5 ms that it should take: tests of
/// behaviour are no benchmarks.
const APPLY_LIMIT: Duration = Duration::from_secs(10);

/// How stale an exported figure may be: measurements are taken at most once a second.
pub const FRESH_LIMIT: Duration = Duration::from_millis(1_500);

/// How long it may take until every RPC is accounted for: one whose connection ended is a second after that.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_millis(4_500);

/// How long an agent may take to end: it gives what is under way 5 s.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How long something may take to happen that figures tell of, and whose own pace is not what a test is about.
const FIGURES_LIMIT: Duration = Duration::from_secs(20);

/// A running agent. Its end checks that no RPC has vanished, whatever the test was about; its pins belong to its [`Node`].
#[derive(Debug)]
pub struct Agent {
    process: Process,
    admin: SocketAddr,
    log: PathBuf,
}

impl Agent {
    /// Starts an agent for a node, itself in `cgroup`.
    pub(crate) fn start(node: &Node, cgroup: &Cgroup, arguments: &[&str]) -> Result<Self> {
        let admin = admin_address();
        let mut command = node.run_command(admin)?;
        command.args(arguments);
        let log = node.config().scratch().join(format!("{}.log", admin.ip()));
        let file = File::create(&log).context(|| format!("make {}", log.display()))?;
        command.stderr(file);
        let process = Process::spawn(command, cgroup, None)?;
        let mut agent = Self {
            process,
            admin,
            log,
        };
        agent.await_ready()?;
        Ok(agent)
    }

    fn await_ready(&mut self) -> Result {
        let ready = eventually("agent ready", READY_LIMIT, || {
            match http::get(self.admin, "/readyz") {
                Ok(answer) if answer.status == 200 => Ok(true),
                // Ends the waiting: an agent that has exited never becomes ready.
                _ if !self.process.is_running() => Ok(false),
                Ok(answer) => Err(answer.body),
                Err(error) => Err(error.to_string()),
            }
        });
        if matches!(ready, Ok(true)) {
            return Ok(());
        }
        Err(Error::Program {
            program: "mesh-agent run".to_owned(),
            status: ready.map_or_else(|error| error.to_string(), |_| "it has exited".to_owned()),
            stderr: self.log(),
        })
    }

    /// Where its admin server listens.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string())
    }

    /// Its metrics now.
    ///
    /// # Errors
    /// If it does not answer with OpenMetrics.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/metrics")?)
    }

    /// Awaits that the samples of `name` with all of `labels` sum up to `expected`: figures are exact within a second.
    ///
    /// # Errors
    /// If they do not.
    pub fn expect(&self, name: &str, labels: &[(&str, &str)], expected: u64) -> Result {
        self.await_sum(name, labels, expected..=expected, FRESH_LIMIT)
    }

    /// The same where any sum in a range will do, and what is counted may still have to happen.
    ///
    /// # Errors
    /// If it does not come to be in it.
    pub fn expect_within(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        expected: impl RangeBounds<u64> + Debug,
    ) -> Result {
        self.await_sum(name, labels, expected, FIGURES_LIMIT)
    }

    fn await_sum(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        expected: impl RangeBounds<u64> + Debug,
        limit: Duration,
    ) -> Result {
        let what = format!("{name}{labels:?} is in {expected:?}");
        eventually(&what, limit, || {
            match self.metrics().map(|metrics| metrics.count(name, labels)) {
                Ok(seen) if expected.contains(&seen) => Ok(()),
                Ok(seen) => Err(seen.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// The JSON at `/api/<name>`.
    ///
    /// # Errors
    /// If it does not answer with JSON.
    pub fn api(&self, name: &str) -> Result<Value> {
        let path = format!("/api/{name}");
        let body = self.get(&path)?;
        serde_json::from_str(&body).map_err(|error| Error::Unreadable {
            from: path,
            answer: format!("{error}: {body}"),
        })
    }

    fn get(&self, path: &str) -> Result<String> {
        let answer = http::get(self.admin, path)?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        Err(Error::Unreadable {
            from: path.to_owned(),
            answer: format!("{}: {}", answer.status, answer.body),
        })
    }

    /// The configuration generation that is in force in the kernel.
    ///
    /// # Errors
    /// If the agent does not answer.
    pub fn generation(&self) -> Result<u64> {
        Ok(self
            .metrics()?
            .count("mesh_config_generation", &[("target", "kernel")]))
    }

    /// Makes a change to the manifests and waits until the kernel has it.
    ///
    /// # Errors
    /// If the change fails or is not applied in time.
    pub fn apply(&self, config: &ConfigDir, change: impl FnOnce(&ConfigDir) -> Result) -> Result {
        let before = self.generation()?;
        change(config)?;
        eventually("change applied", APPLY_LIMIT, || match self.generation() {
            Ok(now) if now > before => Ok(()),
            Ok(now) => Err(format!("generation {now}")),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Runs a reading command (`status`, `services`, `endpoints`, `connections`) against this agent.
    ///
    /// # Errors
    /// If the command cannot be run.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(crate::binary::agent()?);
        command
            .args(arguments)
            .args(["--admin", &self.admin.to_string()]);
        run(command)
    }

    /// [`Agent::output`] of a command that must succeed: what it printed.
    ///
    /// # Errors
    /// If the command fails.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Program {
            program: format!("mesh-agent {}", arguments.join(" ")),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Ends it with `SIGTERM`, as an operator does.
    ///
    /// # Errors
    /// If an RPC has vanished, it does not end in time, or it ends as a failure; the latter two show its log.
    pub fn terminate(mut self) -> Result {
        self.check_balance()?;
        self.signal(Signal::TERM)?;
        self.ended(END_LIMIT)
    }

    /// Ends it with `SIGKILL`, as a crash does.
    ///
    /// # Errors
    /// If an RPC has vanished, or it does not end in time.
    pub fn kill(mut self) -> Result {
        self.check_balance()?;
        self.signal(Signal::KILL)?;
        self.process.wait(END_LIMIT).map(drop)
    }

    /// Sends it a signal, for a test that has something to do before its end.
    ///
    /// # Errors
    /// If it has gone.
    pub fn signal(&self, signal: Signal) -> Result {
        self.process.signal(signal)
    }

    /// Waits for the end of an agent that was told to stop.
    ///
    /// # Errors
    /// If it does not end in time, or ends as a failure; either shows its log.
    pub fn ended(mut self, limit: Duration) -> Result {
        let status = match self.process.wait(limit) {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => status.to_string(),
            Err(error) => {
                self.process.signal(Signal::KILL)?;
                self.process.wait(limit)?;
                error.to_string()
            }
        };
        Err(Error::Program {
            program: "mesh-agent run".to_owned(),
            status,
            stderr: self.log(),
        })
    }

    /// Awaits that started = completed + active + aborted + lost + table full.
    fn check_balance(&mut self) -> Result {
        eventually("every RPC accounted for", SETTLE_LIMIT, || {
            match self.metrics() {
                Ok(metrics) if Balance::of(&metrics).is_conserved() => Ok(()),
                Ok(metrics) => Err(State(&metrics).to_string()),
                // It has ended before its value: nobody can be asked any more.
                Err(_) if !self.process.is_running() => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let checked = self.check_balance();
        assert!(checked.is_ok(), "{checked:?}");
    }
}
