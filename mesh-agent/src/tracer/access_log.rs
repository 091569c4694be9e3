//! The access log of the routed path: a line of JSON for each call that is in the sample, and for each that failed.

use super::routed::Moment;
use crate::observe::{CallOutcome, Losses};
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// How often a log that cannot be written is told of again.
const REMIND: Duration = Duration::from_secs(60);

/// Where the log goes, and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLogSettings {
    /// The file, to which lines are added; `-`: standard output.
    pub path: PathBuf,
    /// The share of calls that did not fail, between 0 and 1.
    pub ratio: f64,
}

/// The log.
#[derive(Debug)]
pub struct AccessLog {
    settings: AccessLogSettings,
    random: fn() -> f64,
    lines: Vec<u8>,
    count: u64,
    losses: Losses,
    last_warning: Option<Instant>,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// When the request's head came, in seconds since 1970.
    started_seconds: f64,
    source_workload: &'a str,
    source_namespace: &'a str,
    destination_service: &'a str,
    destination_namespace: &'a str,
    destination_workload: &'a str,
    /// Without its query, which may hold what is nobody's business.
    path: &'a str,
    /// Of gRPC alone.
    grpc_status: Option<&'static str>,
    /// None: there was no answer.
    http_status: Option<u16>,
    duration_seconds: f64,
    first_response_seconds: Option<f64>,
    request_bytes: u64,
    response_bytes: u64,
    attempts: usize,
    /// The endpoint of the last try.
    endpoint: Option<String>,
    retry: Option<&'static str>,
    timeout: Option<&'static str>,
    mesh_error: Option<&'static str>,
    trace_id: Option<String>,
}

impl<'a> Line<'a> {
    fn new(outcome: &'a CallOutcome, moment: Moment) -> Self {
        let started = moment.calendar(outcome.started);
        let since_1970 = started.duration_since(SystemTime::UNIX_EPOCH);
        let (source, destination) = (&outcome.source, &outcome.destination);
        let parent = outcome.parent.map(|parent| parent.trace_id);
        let trace_id = parent.or_else(|| outcome.span.map(|span| span.trace_id));
        Self {
            started_seconds: since_1970.unwrap_or_default().as_secs_f64(),
            source_workload: &source.workload,
            source_namespace: &source.namespace,
            destination_service: &destination.service,
            destination_namespace: &destination.namespace,
            destination_workload: &destination.workload,
            path: outcome.path.as_ref().map_or("", |path| path.path()),
            grpc_status: outcome.is_grpc.then(|| outcome.status.label()),
            http_status: Some(outcome.http_status).filter(|status| *status != 0),
            duration_seconds: outcome.duration.as_secs_f64(),
            first_response_seconds: outcome.first_response.map(|time| time.as_secs_f64()),
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            attempts: outcome.attempts.len(),
            endpoint: outcome
                .attempts
                .last()
                .map(|last| last.endpoint.to_string()),
            retry: outcome.retry,
            timeout: outcome.timeout,
            mesh_error: outcome.local_reply.map(|reason| reason.as_str()),
            trace_id: trace_id.map(|id| format!("{:032x}", u128::from_be_bytes(id))),
        }
    }
}

impl AccessLog {
    /// Writes nothing yet. `random`: numbers from 0 to below 1.
    #[must_use]
    pub const fn new(settings: AccessLogSettings, random: fn() -> f64, losses: Losses) -> Self {
        Self {
            settings,
            random,
            lines: vec![],
            count: 0,
            losses,
            last_warning: None,
        }
    }

    /// Adds the line of a call, if it is to have one.
    pub(super) fn add(&mut self, outcome: &CallOutcome, moment: Moment) {
        if !outcome.has_failed() && (self.random)() >= self.settings.ratio {
            return;
        }
        // A record of strings and numbers can be written, and a vector takes it.
        serde_json::to_writer(&mut self.lines, &Line::new(outcome, moment)).ok();
        self.lines.push(b'\n');
        self.count += 1;
    }

    /// Writes what was added. Lines that cannot be written are lost. A file is opened anew, so that it may be moved away.
    pub(super) fn write(&mut self, now: Instant) {
        if self.lines.is_empty() {
            return;
        }
        if let Err(error) = self.try_write() {
            self.losses.log_lines(self.count);
            let is_due = |last| now.saturating_duration_since(last) >= REMIND;
            if self.last_warning.is_none_or(is_due) {
                self.last_warning = Some(now);
                let path = self.settings.path.display();
                tracing::warn!(%path, %error, "--access-log cannot be written; lines are lost");
            }
        }
        self.lines.clear();
        self.count = 0;
    }

    fn try_write(&self) -> io::Result<()> {
        if self.settings.path.as_os_str() == "-" {
            let mut output = io::stdout().lock();
            output.write_all(&self.lines)?;
            return output.flush();
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .open(&self.settings.path)?;
        file.write_all(&self.lines)
    }
}
