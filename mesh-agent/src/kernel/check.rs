//! Tries what the mesh needs of the kernel, and says what is missing, what follows, and what to do.

use super::Settings;
use std::collections::BTreeMap;

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Fine.
    Ok,
    /// The mesh works, with less.
    Warning,
    /// The mesh cannot work.
    Failed,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Name of the probe.
    pub probe: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was tried and seen.
    pub evidence: String,
    /// What follows; empty if fine.
    pub effect: &'static str,
    /// What to do; empty if fine.
    pub remedy: String,
}

/// Results to pretend, by probe: a test aid that lets every probe fail on a machine where none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injections(BTreeMap<String, (Status, String)>);

impl Injections {
    /// Reads `probe=status:text` pairs, separated by `;`, as `MESH_CHECK_INJECT` holds them. Statuses: `ok`,
    /// `warning`, `failed`.
    ///
    /// # Errors
    ///
    /// A sentence about the first pair that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(';')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(|pair| parse_pair(pair).ok_or_else(|| format!(
                "`{pair}` is no injected result; write probe=failed:text, with status ok, warning or failed"
            )))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn parse_pair(pair: &str) -> Option<(String, (Status, String))> {
    let (probe, result) = pair.split_once('=')?;
    let (status, text) = result.split_once(':').unwrap_or((result, "injected"));
    let status = match status {
        "ok" => Status::Ok,
        "warning" => Status::Warning,
        "failed" => Status::Failed,
        _ => return None,
    };
    Some((probe.to_owned(), (status, text.to_owned())))
}

/// Runs every probe. [`super::open`] cannot succeed if one failed.
#[must_use]
pub fn check(settings: &Settings, injections: &Injections) -> Vec<Finding> {
    let _ = (settings, injections);
    Vec::new()
}
