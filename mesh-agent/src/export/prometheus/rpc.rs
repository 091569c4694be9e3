//! RPCs in the exposition.

use super::Families;
use crate::export::instrument::{
    CLIENT_CALLS, METER_CONNECTIONS, METER_RPCS, METER_SKIPPED, RPC_ACTIVE, RPC_FIRST_RESPONSE,
    RPC_REQUEST, RPC_RESPONSE, SERVER_CALLS,
};
use crate::observe::{CallSeries, RpcFigures, RpcLabels, RpcSeries};
use mesh_common::histogram::BOUNDARIES_NS;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use std::fmt;

/// Where the boundaries of RPCs begin: 50 µs, 100 µs, 250 µs, 500 µs, 1 ms, 2.5 ms and the 14 of OpenTelemetry's RPC convention.
const FIRST_BOUNDARY: usize = 2;

const _: () = assert!(BOUNDARIES_NS[FIRST_BOUNDARY] == 50_000);

/// Writes every family.
pub(super) fn write(families: &mut Families<'_, '_>, figures: &RpcFigures) -> fmt::Result {
    families.histograms(
        &CLIENT_CALLS,
        FIRST_BOUNDARY,
        figures
            .client
            .iter()
            .map(|call| ((Call(call), [DIRECT]), &call.duration)),
    )?;
    families.histograms(
        &SERVER_CALLS,
        FIRST_BOUNDARY,
        figures
            .server
            .iter()
            .map(|call| (Call(call), &call.duration)),
    )?;
    rpcs(families, &figures.rpcs)?;
    meter(families, figures)
}

fn rpcs(families: &mut Families<'_, '_>, all: &[RpcSeries]) -> fmt::Result {
    let each =
        |value: fn(&RpcSeries) -> u64| all.iter().map(move |series| (Rpc(series), value(series)));
    families.gauges(&RPC_ACTIVE, each(|series| series.active))?;
    families.histograms(
        &RPC_FIRST_RESPONSE,
        FIRST_BOUNDARY,
        all.iter()
            .map(|series| (Rpc(series), &series.first_response)),
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

const DIRECT: (&str, &str) = ("path", "direct");

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
struct Rpc<'a>(&'a RpcSeries);

impl EncodeLabelSet for Rpc<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let Self(rpc) = self;
        [SYSTEM, ("rpc_method", &*rpc.labels.method)].encode(encoder)?;
        ends(&rpc.labels).encode(encoder)?;
        let path = if rpc.is_client { "direct" } else { "" };
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
