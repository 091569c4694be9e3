//! Spans for a collector, over OTLP/gRPC.

mod routed;
mod span;

use crate::observe::ObservedRpc;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter as OtlpExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData, SpanExporter as _};
use span::{Ids, Workload, spans};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;

/// Time for the delivery of one workload's spans, tries and all; shorter than the agent has for its end.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Spans that were not delivered, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{spans} spans were not delivered: {reason}")]
pub struct ExportError {
    /// How many.
    pub spans: u64,
    /// Why.
    pub reason: String,
}

/// Where spans go.
#[derive(Debug)]
pub struct Collector {
    exporter: OtlpExporter,
    ids: RandomIdGenerator,
    node: String,
}

impl Collector {
    /// Takes a channel, which need not be connected. `node` becomes part of every span's resource.
    ///
    /// # Errors
    /// If a variable `OTEL_EXPORTER_OTLP_…` of the environment says what cannot be done.
    pub fn new(channel: Channel, node: String) -> Result<Self, ExporterBuildError> {
        let exporter = OtlpExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        Ok(Self {
            exporter,
            ids: RandomIdGenerator::default(),
            node,
        })
    }

    /// Delivers the spans of some RPCs: one request for each workload that had a part in them.
    ///
    /// # Errors
    /// If the collector takes too long, refuses or is not there. What it did not take is lost.
    pub async fn export(&mut self, batch: &[Arc<ObservedRpc>]) -> Result<(), ExportError> {
        let mut by_workload = self.group(batch).into_iter();
        while let Some((workload, spans)) = by_workload.next() {
            let undelivered = spans.len();
            self.exporter.set_resource(&self.resource(&workload));
            if let Err(error) = self.exporter.export(spans).await {
                // The next workload would wait as long for the same collector.
                let rest: usize = by_workload.map(|(_, spans)| spans.len()).sum();
                return Err(ExportError {
                    spans: u64::try_from(undelivered + rest).unwrap_or(u64::MAX),
                    reason: error.to_string(),
                });
            }
        }
        Ok(())
    }

    fn group(&self, batch: &[Arc<ObservedRpc>]) -> BTreeMap<Workload, Vec<SpanData>> {
        let mut by_workload: BTreeMap<Workload, Vec<SpanData>> = BTreeMap::new();
        for rpc in batch {
            let ids = Ids {
                trace: self.ids.new_trace_id(),
                client: self.ids.new_span_id(),
                server: self.ids.new_span_id(),
            };
            for (workload, span) in spans(rpc, &ids) {
                by_workload.entry(workload).or_default().push(span);
            }
        }
        by_workload
    }

    fn resource(&self, workload: &Workload) -> Resource {
        Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", Arc::clone(&workload.name)),
                KeyValue::new("service.namespace", Arc::clone(&workload.namespace)),
                KeyValue::new("k8s.node.name", self.node.clone()),
            ])
            .build()
    }
}
