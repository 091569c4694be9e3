//! Tries what the mesh needs of the kernel, and says what is missing, what follows, and what to do.

mod conflicts;
mod probes;

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

/// Something to try.
#[derive(Clone, Copy)]
struct Probe {
    name: &'static str,
    /// What follows if it does not end well.
    effect: &'static str,
    /// What to do then.
    remedy: &'static str,
    run: fn(&Settings) -> Outcome,
}

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    status: Status,
    evidence: String,
    /// What to do, where the case at hand allows to be more exact than the probe's own remedy.
    remedy: Option<String>,
}

impl Outcome {
    fn new(status: Status, evidence: impl Into<String>) -> Self {
        Self {
            status,
            evidence: evidence.into(),
            remedy: None,
        }
    }

    fn ok(evidence: impl Into<String>) -> Self {
        Self::new(Status::Ok, evidence)
    }

    fn failed(evidence: impl Into<String>) -> Self {
        Self::new(Status::Failed, evidence)
    }

    fn warning(evidence: impl Into<String>) -> Self {
        Self::new(Status::Warning, evidence)
    }
}

/// Results to pretend, by probe: a test aid that lets every probe fail on a machine where none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injections(BTreeMap<&'static str, (Status, String)>);

impl Injections {
    /// Reads `probe=status:text` pairs, separated by `;`, as `MESH_CHECK_INJECT` holds them. Statuses:
    /// `ok`, `warning`, `failed`.
    ///
    /// # Errors
    ///
    /// A sentence about the first pair that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(';')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(parse_pair)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn parse_pair(pair: &str) -> Result<(&'static str, (Status, String)), String> {
    let malformed = || {
        format!(
            "`{pair}` is no injected result; write probe=failed:text, with status ok, warning or failed"
        )
    };
    let (name, result) = pair.split_once('=').ok_or_else(malformed)?;
    let (status, text) = result.split_once(':').unwrap_or((result, "injected"));
    let status = match status {
        "ok" => Status::Ok,
        "warning" => Status::Warning,
        "failed" => Status::Failed,
        _ => return Err(malformed()),
    };
    let known = probes::ALL.iter().map(|probe| probe.name);
    let Some(probe) = known.clone().find(|known| *known == name) else {
        let known: Vec<_> = known.collect();
        return Err(format!(
            "there is no probe `{name}`; there are: {}",
            known.join(", ")
        ));
    };
    Ok((probe, (status, text.to_owned())))
}

/// Runs every probe. [`super::open`] or attaching cannot succeed if one failed.
#[must_use]
pub fn check(settings: &Settings, injections: &Injections) -> Vec<Finding> {
    probes::ALL
        .iter()
        .map(|probe| {
            let outcome = match injections.0.get(probe.name) {
                Some((status, text)) => Outcome::new(*status, text),
                None => (probe.run)(settings),
            };
            finding(probe, outcome)
        })
        .collect()
}

fn finding(probe: &Probe, outcome: Outcome) -> Finding {
    let Outcome {
        status,
        evidence,
        remedy,
    } = outcome;
    let is_fine = status == Status::Ok;
    Finding {
        probe: probe.name,
        status,
        evidence,
        effect: if is_fine { "" } else { probe.effect },
        remedy: match remedy {
            _ if is_fine => String::new(),
            Some(remedy) => remedy,
            None => probe.remedy.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Injections, Status, check, probes};
    use crate::kernel::{Capacities, Settings};

    fn settings() -> Settings {
        Settings {
            cgroup: "/nonexistent".into(),
            bpffs: "/nonexistent/mesh".into(),
            capacities: Capacities::default(),
            log_level: None,
            proxy_port: 0,
        }
    }

    #[test]
    fn every_probe_can_be_made_to_fail_with_effect_and_remedy() {
        let all: Vec<_> = probes::ALL
            .iter()
            .map(|probe| format!("{}=failed:pretended {}", probe.name, probe.name))
            .collect();
        let injections = Injections::parse(&all.join(";")).unwrap();

        for finding in check(&settings(), &injections) {
            assert_eq!(finding.status, Status::Failed);
            assert_eq!(finding.evidence, format!("pretended {}", finding.probe));
            assert!(
                !finding.effect.is_empty() && !finding.remedy.is_empty(),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn an_injection_that_means_nothing_is_refused() {
        for text in [
            "bpffs",
            "bpffs=broken",
            "bpffs=broken:text",
            "nothing=failed:text",
        ] {
            assert!(Injections::parse(text).is_err(), "{text}");
        }
        assert_eq!(Injections::parse(" ; ").unwrap(), Injections::default());
    }

    #[test]
    fn a_path_that_is_not_there_fails_its_probe() {
        let findings = check(&settings(), &Injections::default());
        let status = |name| {
            findings
                .iter()
                .find(|finding| finding.probe == name)
                .unwrap()
                .status
        };

        assert_eq!(status("cgroup"), Status::Failed);
        assert_eq!(status("bpffs"), Status::Failed);
    }
}
