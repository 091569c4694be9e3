//! Rows and open RPCs, added up by labels.

use super::{Ledger, OpenRpcs, Sums, observe};
use crate::kernel::ends::Ends;
use crate::kernel::hosts::HostNames;
use crate::kernel::installed::Destination;
use crate::kernel::installed::LabelIds;
use crate::kernel::methods::Methods;
use crate::observe::{DestinationLabels, Path, RpcFigures, RpcSeries, SourceLabels};
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{METHOD_OTHER, Method, MethodKey, RpcKey, RpcRow, Side, Stream};
use zerocopy::{FromZeros as _, IntoBytes as _};

const SERVICE: u32 = 5;
/// Raw and Huffman-coded: two digests of one path.
const RAW: u64 = 10;
const CODED: u64 = 11;
/// Not a label.
const UNSEEN: u64 = 12;

/// The labels of one source and one destination.
struct Scene {
    ends: Ends,
    methods: Methods,
    source: u32,
    destination: u32,
}

impl Scene {
    fn new() -> Self {
        let mut labels = LabelIds::default();
        let source = labels.sources.acquire(SourceLabels {
            workload: "order".into(),
            namespace: "shop".into(),
        });
        let destination = labels.destinations.acquire(Destination {
            labels: DestinationLabels {
                service: "inventory".into(),
                namespace: "shop".into(),
                workload: "inventory-v1".into(),
            },
            path: Path::Direct,
        });
        let mut methods = Methods::default();
        for path in [RAW, CODED] {
            let text = b"/shop.Inventory/Reserve";
            let mut method = Method::new_zeroed();
            method.text.as_mut_bytes()[..text.len()].copy_from_slice(text);
            method.length = 23;
            let key = MethodKey {
                path,
                service: SERVICE,
                reserved: 0,
            };
            methods.learn(key, &method);
        }
        let root = std::fs::File::open("/").unwrap();
        Self {
            ends: Ends::new(&labels, HostNames::new(root.into())),
            methods,
            source,
            destination,
        }
    }

    fn key(&self, method: u64, status: StatusCode, side: Side) -> RpcKey {
        RpcKey {
            method,
            source: self.source,
            destination: self.destination,
            status: status as u32,
            side: side as u32,
        }
    }

    fn stream(&self, path: u64, label: u64, side: Side) -> Stream {
        Stream {
            started_ns: 1_000,
            first_ns: 31_000,
            path,
            label,
            request_bytes: 7,
            response_bytes: 9,
            source: self.source,
            destination: self.destination,
            service: SERVICE,
            side: side as u32,
            ..Stream::new_zeroed()
        }
    }

    fn read(&self, rows: &[(RpcKey, RpcRow)], open: &[Stream], ledger: &mut Ledger) -> RpcFigures {
        let mut sums = Sums::new(&self.ends, &self.methods);
        for (key, row) in rows {
            sums.add_row(key, row);
        }
        let mut streams = OpenRpcs::default();
        for stream in open {
            streams.add(stream);
        }
        sums.add_open(&streams);
        sums.finish(ledger)
    }
}

fn row(count: u64) -> RpcRow {
    let mut row = RpcRow::new_zeroed();
    for _ in 0..count {
        observe(&mut row.duration, 100_000);
        observe(&mut row.first_response, 50_000);
    }
    row.request_bytes = 100 * count;
    row.response_bytes = 200 * count;
    row
}

fn named<'a>(figures: &'a RpcFigures, method: &str) -> &'a RpcSeries {
    figures
        .rpcs
        .iter()
        .find(|series| &*series.labels.method == method)
        .unwrap()
}

const RESERVE: &str = "shop.Inventory/Reserve";

#[test]
fn digests_of_one_path_are_one_series_and_each_side_has_its_own() {
    let scene = Scene::new();
    let rows = [
        (scene.key(RAW, StatusCode::Ok, Side::Both), row(3)),
        (scene.key(CODED, StatusCode::Ok, Side::Client), row(2)),
        (scene.key(RAW, StatusCode::Ok, Side::Server), row(1)),
        (scene.key(RAW, StatusCode::NotFound, Side::Both), row(1)),
    ];

    let figures = scene.read(&rows, &[], &mut Ledger::default());

    let counts = |calls: &[crate::observe::CallSeries]| -> Vec<_> {
        let count = |call: &crate::observe::CallSeries| call.duration.buckets.iter().sum::<u64>();
        calls
            .iter()
            .map(|call| (call.status, count(call)))
            .collect()
    };
    assert_eq!(
        counts(&figures.client),
        [(StatusCode::Ok, 5), (StatusCode::NotFound, 1)]
    );
    assert_eq!(
        counts(&figures.server),
        [(StatusCode::Ok, 4), (StatusCode::NotFound, 1)]
    );
    let completed: Vec<_> = figures
        .rpcs
        .iter()
        .map(|series| (series.is_client, series.completed, series.request_bytes))
        .collect();
    assert_eq!(
        completed,
        [(false, 1, 100), (true, 6, 600)],
        "each RPC once"
    );
}

#[test]
fn an_open_rpc_moves_its_figures_under_the_label_it_will_end_with() {
    let scene = Scene::new();
    let rows = [(scene.key(RAW, StatusCode::Ok, Side::Both), row(1))];
    // Begun before its method was a label.
    let open = [scene.stream(RAW, METHOD_OTHER, Side::Client)];

    let figures = scene.read(&rows, &open, &mut Ledger::default());

    assert_eq!(named(&figures, "_OTHER").active, 1);
    assert_eq!(named(&figures, "_OTHER").request_bytes, 0);
    let reserve = named(&figures, RESERVE);
    assert_eq!((reserve.active, reserve.completed), (0, 1));
    assert_eq!((reserve.request_bytes, reserve.response_bytes), (107, 209));
    assert_eq!(reserve.first_response.sum_ns, 50_000 + 30_000);
}

#[test]
fn bytes_wait_while_the_label_is_not_decided() {
    let scene = Scene::new();
    let open = [scene.stream(UNSEEN, METHOD_OTHER, Side::Client)];

    let figures = scene.read(&[], &open, &mut Ledger::default());

    let other = named(&figures, "_OTHER");
    assert_eq!((other.active, other.request_bytes), (1, 0));
}

#[test]
fn no_figure_goes_back_when_an_rpc_ends_between_two_readings() {
    let scene = Scene::new();
    let mut ledger = Ledger::default();
    let rows = [(scene.key(RAW, StatusCode::Ok, Side::Both), row(1))];
    let open = [scene.stream(RAW, RAW, Side::Client)];

    let before = scene.read(&rows, &open, &mut ledger);
    let between = scene.read(&rows, &[], &mut ledger);
    let anew = scene.read(&[], &open, &mut ledger);

    assert_eq!(named(&before, RESERVE).request_bytes, 107);
    assert_eq!(named(&between, RESERVE).request_bytes, 107);
    assert_eq!(named(&between, RESERVE).first_response.sum_ns, 80_000);
    assert_eq!(named(&anew, RESERVE).request_bytes, 7, "another row");
}

#[test]
fn what_lost_rpcs_moved_is_counted_without_a_call() {
    let scene = Scene::new();
    let mut lost = row(0);
    lost.request_bytes = 5;
    let rows = [(scene.key(RAW, StatusCode::Unseen, Side::Both), lost)];

    let figures = scene.read(&rows, &[], &mut Ledger::default());

    assert!(figures.client.is_empty() && figures.server.is_empty());
    assert_eq!(named(&figures, RESERVE).request_bytes, 5);
}
