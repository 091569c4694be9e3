//! A real Prometheus that scrapes an agent.

use crate::agent::Agent;
use crate::binary;
use crate::cgroup::Cgroup;
use crate::deadline::eventually;
use crate::error::{Context, Error, Result};
use crate::http;
use crate::node::admin_address;
use crate::process::Process;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to start and to scrape.
const LIMIT: Duration = Duration::from_secs(30);

/// A running Prometheus. Fields end in this order: the process before its place.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
    _cgroup: Cgroup,
    _place: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes an agent every second.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn start(agent: &Agent) -> Result<Self> {
        let place = tempfile::tempdir().context(|| "make a temporary directory")?;
        let config = place.path().join("prometheus.yml");
        let text = format!(
            "scrape_configs:\n- job_name: mesh\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  \
             static_configs:\n  - targets: ['{}']\n",
            agent.admin()
        );
        fs::write(&config, text).context(|| "write Prometheus' configuration")?;
        let address = admin_address();
        let mut command = Command::new(binary::prometheus()?);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                place.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stderr(Stdio::inherit());
        let cgroup = Cgroup::new()?;
        Ok(Self {
            _process: Process::spawn(command, &cgroup, None)?,
            address,
            _cgroup: cgroup,
            _place: place,
        })
    }

    /// Awaits that an expression (without `&`, `+`, `#` or `%`) has one value that is as wanted.
    ///
    /// # Errors
    /// If it has none in time.
    pub fn await_value(&self, expression: &str, wanted: impl Fn(f64) -> bool) -> Result<f64> {
        eventually(expression, LIMIT, || {
            let answer = self.query(expression).map_err(|error| error.to_string())?;
            let value = answer["data"]["result"][0]["value"][1].as_str();
            match value.and_then(|value| value.parse().ok()) {
                Some(value) if wanted(value) => Ok(value),
                _ => Err(answer.to_string()),
            }
        })
    }

    fn query(&self, expression: &str) -> Result<Value> {
        let expression = expression.replace('"', "%22").replace(' ', "%20");
        let path = format!("/api/v1/query?query={expression}");
        let answer = http::get(self.address, &path)?;
        serde_json::from_str(&answer.body).map_err(|error| Error::Unreadable {
            from: path,
            answer: format!("{error}: {}", answer.body),
        })
    }
}
