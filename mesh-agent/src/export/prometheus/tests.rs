//! The exposition against a golden text, and against OpenMetrics' grammar whatever the labels hold.

use super::{Exposition, render};
use crate::export::instrument;
use crate::observe::{
    BypassSeries, CallSeries, ConnectionSeries, Counts, DestinationLabels, Directions, Exemplar,
    LossFigures, MapFill, Path, ProcessFigures, Progress, RoutedFigures, RpcFigures, RpcLabels,
    RpcSeries, ServiceSeries, Snapshot, SourceLabels,
};
use mesh_common::connection::{CloseReason, ConnectError};
use mesh_common::histogram::{BUCKETS, Histogram};
use mesh_common::meter::StatusCode;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

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
        path: Path::Direct,
        opened: 6,
        closed,
        failed,
        connect: histogram(&[(0, 4), (5, 1), (22, 1)], 12_000_350_000),
        rtt: histogram(&[(1, 6)], 90_000),
        sent_bytes: 6_144,
        received_bytes: 12_288,
        retransmits: 1,
        bypassed: [2, 0, 0],
    }
}

fn rpcs() -> RpcFigures {
    let ConnectionSeries {
        source,
        destination,
        ..
    } = series("order");
    let labels = RpcLabels {
        source,
        destination,
        method: "shop.Inventory/Reserve".into(),
    };
    let call = |status, duration| CallSeries {
        labels: labels.clone(),
        status,
        duration,
        exemplars: vec![],
    };
    let ok = histogram(&[(0, 1), (1, 2), (2, 3), (3, 4), (22, 1)], 11_000_000_000);
    RpcFigures {
        client: vec![
            call(StatusCode::Ok, ok),
            call(StatusCode::NotFound, histogram(&[(4, 1)], 200_000)),
        ],
        server: vec![call(StatusCode::Ok, ok)],
        rpcs: vec![RpcSeries {
            labels: labels.clone(),
            is_client: true,
            completed: 12,
            active: 2,
            first_response: histogram(&[(1, 11)], 220_000),
            request_bytes: 12_288,
            response_bytes: 24_576,
        }],
        active: 2,
        events: vec![("started", 14), ("completed", 12)],
        skipped: vec![("opaque", 1), ("observed_full", 2)],
        directions: vec![Directions {
            state: "full",
            request: 3,
            response: 2,
        }],
    }
}

fn routed() -> RoutedFigures {
    let RpcFigures { client, rpcs, .. } = rpcs();
    let one = |value| Counts::from([(value, 1)]);
    RoutedFigures {
        calls: client[1..].to_vec(),
        rpcs,
        services: vec![ServiceSeries {
            service: "inventory".into(),
            namespace: "shop".into(),
            retries: Counts::from([("budget", 2), ("success", 100)]),
            rate_limited: 4,
            circuit_open: 5,
            fallback: 6,
            timeouts: one("request"),
            faults: one("abort"),
            mirrored: one("success"),
            local_replies: one("no_endpoint"),
            ejections: 7,
            connections_active: 0,
            connections_opened: 8,
        }],
        lost: 9,
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
            rpcs: rpcs(),
            routed: routed(),
            counters: vec![("rewritten", 8), ("torn_table", 0)],
            maps: vec![
                MapFill {
                    name: "FRONTENDS",
                    entries: Some(12),
                    capacity: Some(4_096),
                    waiting: 0,
                    full_total: 0,
                    memory_bytes: 65_536,
                    is_per_cpu: false,
                },
                MapFill {
                    name: "SOCKETS",
                    entries: None,
                    capacity: None,
                    waiting: 0,
                    full_total: 1,
                    memory_bytes: 4_096,
                    is_per_cpu: false,
                },
            ],
            ..Snapshot::default()
        }),
        progress: progress.figures(),
        bypasses: vec![BypassSeries {
            service: "inventory".into(),
            namespace: "shop".into(),
            reason: "not_http2",
            count: 3,
        }],
        losses: LossFigures {
            spans: 3,
            tap_lines: 0,
            log_lines: 0,
        },
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
fn rpc_histograms_begin_at_50_microseconds_with_what_was_faster() {
    let text = render(exposition(vec![])).unwrap();
    let bounds: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("rpc_server_call_duration_seconds_bucket"))
        .map(|line| {
            let (_, bound) = line.split_once("le=\"").unwrap();
            let (bound, rest) = bound.split_once('"').unwrap();
            (
                bound.to_owned(),
                rest.rsplit_once(' ').unwrap().1.to_owned(),
            )
        })
        .collect();
    let expected = [
        "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
        "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "7.5", "10.0", "+Inf",
    ];
    let shown: Vec<_> = bounds.iter().map(|(bound, _)| bound.as_str()).collect();
    assert_eq!(shown, expected);
    assert_eq!(bounds[0].1, "6", "10, 25 and 50 microseconds");
    assert_eq!(bounds[20].1, "11");
}

#[test]
fn a_call_of_a_recorded_trace_stands_at_its_bucket_of_the_routed_series() {
    let mut traced = exposition(vec![]);
    let mut snapshot = (*traced.snapshot).clone();
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    snapshot.routed.calls[0].exemplars =
        vec![Exemplar::new([0x4b; 16], Duration::from_micros(180), at)];
    traced.snapshot = Arc::new(snapshot);
    let text = render(traced).unwrap();
    let with: Vec<&str> = text.lines().filter(|line| line.contains(" # {")).collect();
    let trace = "4b".repeat(16);
    let [line] = with[..] else {
        panic!("{with:?}");
    };
    assert!(line.starts_with("rpc_client_call_duration_seconds_bucket{"));
    for label in ["path=\"routed\"", "le=\"0.00025\""] {
        assert!(line.contains(label), "{line}");
    }
    let exemplar = format!("}} 1 # {{trace_id=\"{trace}\"}} 0.00018 1700000000.000");
    assert!(line.ends_with(&exemplar), "{line}");
}

#[test]
fn a_lone_server_has_no_path() {
    let mut lone = exposition(vec![]);
    let mut snapshot = (*lone.snapshot).clone();
    snapshot.rpcs.rpcs[0].is_client = false;
    lone.snapshot = Arc::new(snapshot);
    let text = render(lone).unwrap();
    assert!(text.lines().any(|line| {
        line.starts_with("mesh_rpc_request_bytes_total{") && line.ends_with(r#"path=""} 12288"#)
    }));
}

#[test]
fn calls_of_both_paths_are_one_family_without_a_pair_of_like_samples() {
    let families = parse(&render(exposition(vec![series("order")])).unwrap());
    for (name, label, paths) in [
        (
            "rpc_client_call_duration_seconds",
            "path",
            vec!["direct", "routed"],
        ),
        ("mesh_rpc_active", "path", vec!["direct", "routed"]),
        ("mesh_rpc_request_bytes", "path", vec!["direct", "routed"]),
    ] {
        let samples = &families[name].samples;
        let mut seen: Vec<&str> = samples
            .iter()
            .flat_map(|sample| &sample.labels)
            .filter(|(name, _)| name == label)
            .map(|(_, value)| value.as_str())
            .collect();
        seen.dedup();
        assert_eq!(seen, paths, "{name}");
    }
}

#[test]
fn a_service_to_which_nothing_has_happened_has_no_zeros() {
    let mut quiet = exposition(vec![]);
    let mut snapshot = (*quiet.snapshot).clone();
    snapshot.routed.services = vec![ServiceSeries {
        service: "quiet".into(),
        ..ServiceSeries::default()
    }];
    quiet.snapshot = Arc::new(snapshot);
    assert!(!render(quiet).unwrap().contains("quiet"));
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
