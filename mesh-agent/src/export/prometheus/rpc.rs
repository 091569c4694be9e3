//! RPCs in the exposition.

use super::Families;
use super::exemplars::{self, Written};
use crate::export::instrument::{
    CLIENT_CALLS, METER_CONNECTIONS, METER_RPCS, METER_SKIPPED, RPC_ACTIVE, RPC_FIRST_RESPONSE,
    RPC_REQUEST, RPC_RESPONSE, SERVER_CALLS,
};
use crate::observe::{CallSeries, Path, RoutedFigures, RpcFigures, RpcLabels, RpcSeries};
use mesh_common::histogram::BOUNDARIES_NS;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use std::fmt;

/// Where the boundaries of RPCs begin: 50 µs, 100 µs, 250 µs, 500 µs, 1 ms, 2.5 ms and the 14 of OpenTelemetry's RPC convention.
const FIRST_BOUNDARY: usize = 2;

const _: () = assert!(BOUNDARIES_NS[FIRST_BOUNDARY] == 50_000);

/// Writes every family.
pub(super) fn write(
    families: &mut Families<'_, '_>,
    figures: &RpcFigures,
    routed: &RoutedFigures,
) -> fmt::Result {
    families.histograms(
        &CLIENT_CALLS,
        FIRST_BOUNDARY,
        both(&figures.client, &routed.calls)
            .map(|(call, path)| ((Call(call), [("path", path.as_str())]), &call.duration)),
    )?;
    families.histograms(
        &SERVER_CALLS,
        FIRST_BOUNDARY,
        figures
            .server
            .iter()
            .map(|call| (Call(call), &call.duration)),
    )?;
    rpcs(families, &figures.rpcs, &routed.rpcs)?;
    meter(families, figures)
}

/// Puts the exemplars of calls into the text that [`write`] has written.
pub(super) fn add_exemplars(
    text: String,
    figures: &RpcFigures,
    routed: &RoutedFigures,
) -> Result<String, fmt::Error> {
    let calls = both(&figures.client, &routed.calls);
    let series: Vec<_> = calls.map(|(call, _)| call.exemplars.as_slice()).collect();
    let family = Written {
        name: "rpc_client_call_duration_seconds",
        first_boundary: FIRST_BOUNDARY,
    };
    exemplars::add(text, &family, &series)
}

/// What the kernel has metered, then what went through the proxy.
fn both<'s, T>(direct: &'s [T], routed: &'s [T]) -> impl Iterator<Item = (&'s T, Path)> {
    let direct = direct.iter().map(|series| (series, Path::Direct));
    direct.chain(routed.iter().map(|series| (series, Path::Routed)))
}

fn rpcs(
    families: &mut Families<'_, '_>,
    direct: &[RpcSeries],
    routed: &[RpcSeries],
) -> fmt::Result {
    let each = |value: fn(&RpcSeries) -> u64| {
        both(direct, routed).map(move |(series, path)| (Rpc(series, path), value(series)))
    };
    families.gauges(&RPC_ACTIVE, each(|series| series.active))?;
    families.histograms(
        &RPC_FIRST_RESPONSE,
        FIRST_BOUNDARY,
        both(direct, routed).map(|(series, path)| (Rpc(series, path), &series.first_response)),
    )?;
    families.counters(&RPC_REQUEST, each(|series| series.request_bytes))?;
    families.counters(&RPC_RESPONSE, each(|series| series.response_bytes))
}

fn meter(families: &mut Families<'_, '_>, figures: &RpcFigures) -> fmt::Result {
    let by = |label, counts: &[(&'static str, u64)]| {
        counts
            .iter()
            .map(|(value, count)| ([(label, *value)], *count))
            .collect::<Vec<_>>()
    };
    families.counters(&METER_RPCS, by("event", &figures.events).into_iter())?;
    families.gauges(
        &METER_CONNECTIONS,
        figures.directions.iter().flat_map(|directions| {
            let state = directions.state;
            [
                ("request", directions.request),
                ("response", directions.response),
            ]
            .map(|(direction, count)| ([("state", state), ("direction", direction)], count))
        }),
    )?;
    families.counters(&METER_SKIPPED, by("reason", &figures.skipped).into_iter())
}

/// Labels of calls with one status.
#[derive(Debug)]
struct Call<'a>(&'a CallSeries);

impl EncodeLabelSet for Call<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let Self(call) = self;
        [
            SYSTEM,
            ("rpc_method", &*call.labels.method),
            ("rpc_status_code", call.status.label()),
        ]
        .encode(encoder)?;
        ends(&call.labels).encode(encoder)
    }
}

/// Labels of RPCs of every status.
#[derive(Debug)]
struct Rpc<'a>(&'a RpcSeries, Path);

impl EncodeLabelSet for Rpc<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let Self(rpc, path) = self;
        [SYSTEM, ("rpc_method", &*rpc.labels.method)].encode(encoder)?;
        ends(&rpc.labels).encode(encoder)?;
        let path = if rpc.is_client { path.as_str() } else { "" };
        [("path", path)].encode(encoder)
    }
}

const SYSTEM: (&str, &str) = ("rpc_system_name", "grpc");

fn ends(labels: &RpcLabels) -> [(&'static str, &str); 5] {
    [
        ("source_workload", &*labels.source.workload),
        ("source_namespace", &*labels.source.namespace),
        ("destination_service", &*labels.destination.service),
        ("destination_namespace", &*labels.destination.namespace),
        ("destination_workload", &*labels.destination.workload),
    ]
}
