//! The exposition against a golden text, and against OpenMetrics' grammar whatever the labels hold.

use super::{Exposition, render};
use crate::export::instrument;
use crate::observe::{
    ConnectionSeries, DestinationLabels, MapFill, ProcessFigures, Progress, Snapshot, SourceLabels,
};
use mesh_common::connection::{CloseReason, ConnectError};
use mesh_common::histogram::{BUCKETS, Histogram};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn histogram(buckets: &[(usize, u64)], sum_ns: u64) -> Histogram {
    let mut histogram = Histogram {
        buckets: [0; BUCKETS],
        sum_ns,
    };
    for (index, count) in buckets {
        histogram.buckets[*index] = *count;
    }
    histogram
}

fn series(workload: &str) -> ConnectionSeries {
    let mut closed = [0; CloseReason::COUNT];
    closed[CloseReason::Fin as usize] = 3;
    closed[CloseReason::Reset as usize] = 1;
    let mut failed = [0; ConnectError::COUNT];
    failed[ConnectError::ConnectionRefused as usize] = 2;
    ConnectionSeries {
        source: SourceLabels {
            workload: workload.into(),
            namespace: "shop".into(),
        },
        destination: DestinationLabels {
            service: "inventory".into(),
            namespace: "shop".into(),
            workload: "inventory-v2".into(),
        },
        opened: 6,
        closed,
        failed,
        connect: histogram(&[(0, 4), (5, 1), (22, 1)], 12_000_350_000),
        rtt: histogram(&[(1, 6)], 90_000),
        sent_bytes: 6_144,
        received_bytes: 12_288,
        retransmits: 1,
    }
}

fn exposition(connections: Vec<ConnectionSeries>) -> Exposition {
    let progress = Progress::default();
    progress.seen(7, 1);
    progress.applied(6);
    progress.propagated(Duration::from_millis(2));
    Exposition {
        snapshot: Arc::new(Snapshot {
            connections,
            counters: vec![("rewritten", 8), ("torn_table", 0)],
            maps: vec![
                MapFill {
                    name: "FRONTENDS",
                    entries: Some(12),
                    capacity: Some(4_096),
                    waiting: 0,
                    full_total: 0,
                    memory_bytes: 65_536,
                },
                MapFill {
                    name: "SOCKETS",
                    entries: None,
                    capacity: None,
                    waiting: 0,
                    full_total: 1,
                    memory_bytes: 4_096,
                },
            ],
        }),
        progress: progress.figures(),
        process: ProcessFigures {
            resident_bytes: Some(9_437_184),
            cpu_seconds: Some(1.5),
            open_fds: Some(31),
            start_time_seconds: 1_700_000_000.0,
        },
        version: "1.2.3",
    }
}

#[test]
fn the_exposition_is_the_golden_text() {
    let text = render(exposition(vec![series("order")])).unwrap();
    assert_eq!(text, include_str!("golden.txt"), "the text was:\n{text}");
}

#[test]
fn a_pair_without_ends_or_failures_has_no_zeros_for_them() {
    let mut fresh = series("order");
    fresh.closed = [0; CloseReason::COUNT];
    fresh.failed = [0; ConnectError::COUNT];
    let text = render(exposition(vec![fresh])).unwrap();
    assert!(!text.contains("mesh_connection_closed_total{"));
    assert!(!text.contains("mesh_connection_failed_total{"));
    assert!(text.contains(r#"path="direct"} 6"#));
}

#[test]
fn every_declared_family_is_in_the_exposition_with_its_labels() {
    let families = parse(&render(exposition(vec![series("order")])).unwrap());
    assert_eq!(families.len(), instrument::ALL.len());
    for declared in instrument::ALL {
        let family = &families[&full_name(declared)];
        assert!(
            !family.samples.is_empty(),
            "{} has no sample",
            declared.name
        );
        for sample in &family.samples {
            let names: Vec<&str> = sample
                .labels
                .iter()
                .map(|(name, _)| name.as_str())
                .filter(|name| *name != "le")
                .collect();
            assert_eq!(names, declared.labels, "labels of {}", declared.name);
        }
    }
}

proptest! {
    #[test]
    fn any_label_value_and_any_count_parses_back(
        workloads in prop::collection::vec("\\PC{0,12}|[\"\\\\\n{},=# ]{0,6}", 0..4),
        counts in prop::array::uniform4(any::<u64>()),
    ) {
        let all: Vec<ConnectionSeries> = workloads
            .iter()
            .map(|workload| {
                let mut series = series(workload);
                series.opened = counts[0];
                series.closed = [counts[1]; CloseReason::COUNT];
                series.connect.buckets = [counts[2]; BUCKETS];
                series.connect.sum_ns = counts[3];
                series
            })
            .collect();
        let families = parse(&render(exposition(all)).unwrap());
        let parsed: Vec<&str> = families["mesh_connection_opened"]
            .samples
            .iter()
            .map(|sample| sample.labels[0].1.as_str())
            .collect();
        prop_assert_eq!(parsed, workloads);
    }
}

fn full_name(declared: &instrument::Instrument) -> String {
    declared
        .unit
        .as_ref()
        .map_or(declared.name.to_owned(), |unit| {
            format!("{}_{}", declared.name, unit.as_str())
        })
}

struct Family {
    samples: Vec<Sample>,
}

struct Sample {
    labels: Vec<(String, String)>,
}

/// Parses OpenMetrics text and panics on everything its specification forbids in the parts we use.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("ends with EOF");
    let mut families = BTreeMap::new();
    let mut current: Option<(String, String)> = None;
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let (keyword, name, rest) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            match keyword {
                "HELP" => {
                    let family = Family { samples: vec![] };
                    let earlier = families.insert(name.to_owned(), family);
                    assert!(earlier.is_none(), "{name} stands there twice");
                }
                "TYPE" => current = Some((name.to_owned(), rest.to_owned())),
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                other => panic!("unknown keyword {other}"),
            }
            continue;
        }
        let (family, kind) = current.as_ref().expect("a sample follows its TYPE");
        let sample = parse_sample(line, family, kind);
        families.get_mut(family).unwrap().samples.push(sample);
    }
    families
}

fn parse_sample(line: &str, family: &str, kind: &str) -> Sample {
    let suffix = line.strip_prefix(family).expect("a sample of its family");
    let name_length = suffix.find(['{', ' ']).unwrap();
    let (suffix, rest) = suffix.split_at(name_length);
    let allowed: &[&str] = match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_sum", "_count", "_bucket"],
        "info" => &["_info"],
        other => panic!("unknown type {other}"),
    };
    assert!(allowed.contains(&suffix), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        Some(labelled) => parse_labels(labelled),
        None => (vec![], rest),
    };
    let value = value.strip_prefix(' ').expect("a space before the value");
    assert!(value.parse::<f64>().is_ok(), "value of {line}");
    Sample { labels }
}

/// Parses `name="value",…}` and returns what follows the brace.
fn parse_labels(text: &str) -> (Vec<(String, String)>, &str) {
    let mut labels = vec![];
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let (name, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = after.char_indices();
        loop {
            match characters.next().expect("a closing quote") {
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (end, '"') => {
                    rest = &after[end + 1..];
                    break;
                }
                (_, other) => value.push(other),
            }
        }
        labels.push((name.to_owned(), value));
    }
}
