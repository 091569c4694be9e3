//! `discovery.k8s.io/v1` EndpointSlice: what the mesh acts on, checked as the API server would.

use super::metadata::{Texts, label_value};
use super::path::FieldPath;
use super::report::Report;
use super::service::{check_address, check_port, is_tcp};
use super::workload::workload_name;
use crate::model::{Endpoint, ObjectName, Slice, SlicePort};
use k8s_openapi::api::discovery::v1;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The label that names the Service a slice belongs to.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Endpoints in one slice, as Kubernetes has it.
const ENDPOINTS_MAX: usize = 1_000;

/// Reduces an EndpointSlice to what the mesh acts on.
pub(super) fn convert(
    slice: &v1::EndpointSlice,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Slice {
    let label = label_value(&slice.metadata, SERVICE_NAME_LABEL);
    if label.is_none() {
        let path = FieldPath::of("metadata.labels").field(SERVICE_NAME_LABEL);
        let remedy = "add the label with the name of the Service the endpoints belong to";
        report.warn(
            &path,
            "the slice names no Service and has no effect",
            remedy,
        );
    }
    let service = texts.share(label.unwrap_or_default());
    let ports = convert_ports(slice, texts, report);
    let mut endpoints = Vec::new();
    match slice.address_type.as_str() {
        "IPv4" | "IPv6" => endpoints = convert_endpoints(slice, texts, report),
        "FQDN" => report.warn(
            &FieldPath::of("addressType"),
            "endpoints given by DNS name have no effect",
            "give their addresses in a slice of addressType IPv4 or IPv6",
        ),
        _ => report.error(
            &FieldPath::of("addressType"),
            "no address type",
            "use IPv4 or IPv6",
        ),
    }
    Slice {
        service,
        ports,
        endpoints,
    }
}

fn convert_ports(
    slice: &v1::EndpointSlice,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Vec<SlicePort> {
    let path = FieldPath::of("ports");
    let mut ports = Vec::new();
    let mut names = HashSet::new();
    for (index, port) in slice.ports.iter().flatten().enumerate() {
        let at = path.index(index);
        let name = port.name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            let remedy = "give every port of the slice its own name";
            report.error(&at.field("name"), "a second port of this name", remedy);
        }
        if !is_tcp(port.protocol.as_deref(), &at, report) {
            continue;
        }
        let Some(number) = port.port else {
            let remedy = "give the port a number from 1 to 65535";
            report.warn(&at, "a port without a number has no effect", remedy);
            continue;
        };
        if let Some(port) = check_port(number, &at.field("port"), report) {
            let name = texts.share(name);
            ports.push(SlicePort { name, port });
        }
    }
    ports
}

fn convert_endpoints(
    slice: &v1::EndpointSlice,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Vec<Endpoint> {
    let path = FieldPath::of("endpoints");
    if slice.endpoints.len() > ENDPOINTS_MAX {
        let message = format!("more than {ENDPOINTS_MAX} endpoints in one slice");
        report.error(&path, &message, "spread them over several slices");
    }
    let is_ipv6 = slice.address_type == "IPv6";
    let namespace = slice.metadata.namespace.as_deref();
    let namespace = namespace.unwrap_or(super::metadata::DEFAULT_NAMESPACE);
    let mut endpoints = Vec::with_capacity(slice.endpoints.len());
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let at = path.index(index);
        let address = convert_address(&endpoint.addresses, is_ipv6, &at, report);
        let Some(address) = address else {
            continue;
        };
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        let (pod, workload) = convert_target(endpoint, namespace, texts);
        let hints = endpoint.hints.as_ref();
        endpoints.push(Endpoint {
            address,
            is_ready: conditions.ready.unwrap_or(true),
            is_serving: conditions.serving.unwrap_or(true),
            is_terminating: conditions.terminating.unwrap_or(false),
            node: texts.share_some(endpoint.node_name.as_deref()),
            zone: texts.share_some(endpoint.zone.as_deref()),
            zone_hints: hints
                .and_then(|hints| hints.for_zones.as_ref())
                .map(|zones| zones.iter().map(|zone| texts.share(&zone.name)).collect())
                .unwrap_or_default(),
            node_hints: hints
                .and_then(|hints| hints.for_nodes.as_ref())
                .map(|nodes| nodes.iter().map(|node| texts.share(&node.name)).collect())
                .unwrap_or_default(),
            pod,
            workload,
        });
    }
    endpoints
}

fn convert_address(
    addresses: &[String],
    is_ipv6: bool,
    endpoint_path: &FieldPath,
    report: &mut Report<'_, '_>,
) -> Option<IpAddr> {
    let path = endpoint_path.field("addresses");
    let Some(first) = addresses.first() else {
        report.error(&path, "the endpoint has no address", "give it exactly one");
        return None;
    };
    if addresses.len() > 1 {
        let remedy = "make every address an endpoint of its own";
        report.warn(&path, "only the first address has an effect", remedy);
    }
    let address = check_address(first, &path.index(0), report)?;
    if address.is_ipv6() != is_ipv6 {
        let remedy = "put IPv4 and IPv6 addresses into slices of their own";
        report.error(&path.index(0), "not of the slice's addressType", remedy);
        return None;
    }
    Some(address)
}

/// The pod an endpoint refers to, and its workload.
fn convert_target(
    endpoint: &v1::Endpoint,
    slice_namespace: &str,
    texts: &mut Texts,
) -> (Option<ObjectName>, Option<ObjectName>) {
    let Some(target) = &endpoint.target_ref else {
        return (None, None);
    };
    let is_pod = target.kind.as_deref() == Some("Pod");
    let name = target
        .name
        .as_deref()
        .filter(|name| is_pod && !name.is_empty());
    let Some(name) = name else {
        return (None, None);
    };
    let namespace = target.namespace.as_deref().unwrap_or(slice_namespace);
    let workload = texts.name(namespace, workload_name(name));
    let pod = ObjectName {
        namespace: Arc::clone(&workload.namespace),
        name: name.into(),
    };
    (Some(pod), Some(workload))
}
