//! `v1/Service`: what the mesh acts on, checked as the API server would.

use super::metadata::{Texts, created_s};
use super::path::FieldPath;
use super::report::Report;
use crate::model::{AppProtocol, ClusterIps, Service, ServicePort, TrafficDistribution};
use k8s_openapi::api::core::v1;
use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Timeout of `sessionAffinity: ClientIP` if none is given, as Kubernetes has it: three hours.
const AFFINITY_TIMEOUT_DEFAULT_S: u32 = 10_800;

/// Longest affinity timeout Kubernetes accepts: one day.
const AFFINITY_TIMEOUT_MAX_S: u32 = 86_400;

/// Reduces a Service to what the mesh acts on.
pub(super) fn convert(
    service: &v1::Service,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Service {
    let spec_path = FieldPath::of("spec");
    let created_s = created_s(&service.metadata);
    let Some(spec) = &service.spec else {
        report.error(
            &spec_path,
            "the Service has no spec",
            "give it at least `ports`",
        );
        return Service::default();
    };
    if spec.type_.as_deref() == Some("ExternalName") {
        report.warn(
            &spec_path.field("type"),
            "an ExternalName Service is an alias in DNS: the mesh does not see it",
            "name the Service it stands for instead",
        );
        return Service {
            created_s,
            ..Service::default()
        };
    }
    warn_of_outside_traffic(spec, report);
    Service {
        created_s,
        cluster_ips: convert_cluster_ips(spec, report),
        ports: convert_ports(spec, texts, report),
        affinity_timeout_s: convert_affinity(spec, report),
        is_node_local: convert_internal_traffic_policy(spec, report),
        traffic_distribution: convert_traffic_distribution(spec, report),
        publishes_not_ready: spec.publish_not_ready_addresses == Some(true),
    }
}

/// Says which ways into a Service the mesh does not handle.
fn warn_of_outside_traffic(spec: &v1::ServiceSpec, report: &mut Report<'_, '_>) {
    let path = FieldPath::of("spec");
    let remedy = "kube-proxy or its replacement goes on serving it; only cluster IPs are rewritten by the mesh";
    match spec.type_.as_deref() {
        None | Some("ClusterIP") => {}
        Some("NodePort" | "LoadBalancer") => report.warn(
            &path.field("type"),
            "node ports and load balancer addresses are not mesh addresses",
            remedy,
        ),
        Some(_) => report.error(
            &path.field("type"),
            "no type of Service",
            "use ClusterIP, NodePort, LoadBalancer or ExternalName",
        ),
    }
    if spec
        .external_ips
        .as_ref()
        .is_some_and(|ips| !ips.is_empty())
    {
        let path = path.field("externalIPs");
        report.warn(&path, "external addresses are not mesh addresses", remedy);
    }
}

fn convert_cluster_ips(spec: &v1::ServiceSpec, report: &mut Report<'_, '_>) -> ClusterIps {
    let first_path = FieldPath::of("spec.clusterIP");
    let all_path = FieldPath::of("spec.clusterIPs");
    let first = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty());
    let all = spec.cluster_ips.as_deref().unwrap_or_default();
    if let (Some(first), Some(leader)) = (first, all.first())
        && first != leader
    {
        let remedy = "give clusterIPs[0] and clusterIP the same value, or leave clusterIP out";
        report.error(&all_path.index(0), "differs from clusterIP", remedy);
    }
    let named: Vec<(FieldPath, &str)> = if all.is_empty() {
        first
            .map(|ip| (first_path.clone(), ip))
            .into_iter()
            .collect()
    } else {
        let indexed = all.iter().enumerate();
        indexed
            .map(|(i, ip)| (all_path.index(i), ip.as_str()))
            .collect()
    };
    let mut ips = ClusterIps::default();
    if named.is_empty() {
        report.warn(
            &FieldPath::of("spec"),
            "the Service has no cluster IP: nothing assigns one to a file",
            "give clusterIP an address, or None if it is meant to be headless",
        );
        return ips;
    }
    for (path, text) in &named {
        if *text == "None" {
            if named.len() > 1 {
                report.error(path, "None stands next to an address", "remove one of them");
            }
            continue;
        }
        let Some(ip) = check_address(text, path, report) else {
            continue;
        };
        let place = if ip.is_ipv4() {
            &mut ips.v4
        } else {
            &mut ips.v6
        };
        if place.replace(ip).is_some() {
            let remedy = "give at most one IPv4 and one IPv6 address";
            report.error(path, "a second cluster IP of the same family", remedy);
        }
    }
    check_ip_families(spec, &ips, report);
    ips
}

fn check_ip_families(spec: &v1::ServiceSpec, ips: &ClusterIps, report: &mut Report<'_, '_>) {
    let path = FieldPath::of("spec.ipFamilies");
    for (index, family) in spec.ip_families.iter().flatten().enumerate() {
        let is_there = match family.as_str() {
            "IPv4" => ips.v4.is_some(),
            "IPv6" => ips.v6.is_some(),
            _ => {
                report.error(&path.index(index), "no IP family", "use IPv4 or IPv6");
                continue;
            }
        };
        if !is_there && !ips.is_empty() {
            report.error(
                &path.index(index),
                "the Service has no cluster IP of this family",
                "add the address to clusterIPs, or remove the family",
            );
        }
    }
}

/// An address that connections can go to. Unlike Kubernetes the mesh accepts loopback, for services on one host.
pub(super) fn check_address(
    text: &str,
    path: &FieldPath,
    report: &mut Report<'_, '_>,
) -> Option<IpAddr> {
    let remedy = "write an IPv4 address like 10.96.0.10 or an IPv6 address like fd00::10";
    let Ok(ip) = text.parse::<IpAddr>() else {
        report.error(path, "no IP address", remedy);
        return None;
    };
    let fault = match ip {
        _ if ip.is_unspecified() => "the unspecified address",
        _ if ip.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address in IPv6 form",
        IpAddr::V4(_) | IpAddr::V6(_) => return Some(ip),
    };
    let message = format!("{fault} cannot be connected to");
    report.error(path, &message, "use the address of one host");
    None
}

fn convert_ports(
    spec: &v1::ServiceSpec,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Vec<ServicePort> {
    let path = FieldPath::of("spec.ports");
    let given = spec.ports.as_deref().unwrap_or_default();
    let mut ports = Vec::with_capacity(given.len());
    let mut names = HashSet::new();
    let mut numbers = HashSet::new();
    for (index, port) in given.iter().enumerate() {
        let at = path.index(index);
        let name = port.name.as_deref().unwrap_or_default();
        if name.is_empty() && given.len() > 1 {
            let remedy = "name every port of a Service that has more than one";
            report.error(&at, "the port has no name", remedy);
        } else if !names.insert(name) {
            let remedy = "give every port of the Service its own name";
            report.error(&at.field("name"), "a second port of this name", remedy);
        }
        let number = check_port(port.port, &at.field("port"), report);
        if !is_tcp(port.protocol.as_deref(), &at, report) {
            continue;
        }
        let Some(number) = number else {
            continue;
        };
        if !numbers.insert(number) {
            let remedy = "give every TCP port of the Service its own number";
            report.error(
                &at.field("port"),
                "a second TCP port of this number",
                remedy,
            );
            continue;
        }
        ports.push(ServicePort {
            port: number,
            name: texts.share(name),
            protocol: protocol_of(port.app_protocol.as_deref(), name, &at, report),
        });
    }
    ports.sort_by_key(|port| port.port);
    ports
}

/// A TCP port number.
pub(super) fn check_port(port: i32, path: &FieldPath, report: &mut Report<'_, '_>) -> Option<u16> {
    match u16::try_from(port) {
        Ok(number) if number > 0 => Some(number),
        Ok(_) | Err(_) => {
            report.error(path, "no port number", "use a number from 1 to 65535");
            None
        }
    }
}

/// Whether a port is TCP, the default. UDP and SCTP are no fault: they are simply not for the mesh.
pub(super) fn is_tcp(
    protocol: Option<&str>,
    port_path: &FieldPath,
    report: &mut Report<'_, '_>,
) -> bool {
    match protocol {
        None | Some("" | "TCP") => true,
        Some("UDP" | "SCTP") => false,
        Some(_) => {
            let path = port_path.field("protocol");
            report.error(&path, "no transport protocol", "use TCP, UDP or SCTP");
            false
        }
    }
}

/// What a port speaks: `appProtocol`, else the first word of its name.
fn protocol_of(
    app_protocol: Option<&str>,
    name: &str,
    port_path: &FieldPath,
    report: &mut Report<'_, '_>,
) -> Option<AppProtocol> {
    match app_protocol {
        None | Some("") => match name.split('-').next() {
            Some("grpc") => Some(AppProtocol::Grpc),
            Some("http2") => Some(AppProtocol::Http2),
            Some("h2c") => Some(AppProtocol::H2c),
            Some(_) | None => None,
        },
        Some("grpc") => Some(AppProtocol::Grpc),
        Some("kubernetes.io/h2c") => Some(AppProtocol::H2c),
        Some("http2") => Some(AppProtocol::Http2),
        Some("http") => Some(AppProtocol::Http),
        Some("kubernetes.io/wss") => Some(AppProtocol::Wss),
        Some("tcp") => Some(AppProtocol::Tcp),
        Some(_) => {
            report.warn(
                &port_path.field("appProtocol"),
                "not a protocol the mesh knows: the port is treated as tcp",
                "use grpc, kubernetes.io/h2c, http2, kubernetes.io/wss, http or tcp",
            );
            Some(AppProtocol::Tcp)
        }
    }
}

fn convert_affinity(spec: &v1::ServiceSpec, report: &mut Report<'_, '_>) -> Option<NonZeroU32> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return None,
        Some("ClientIP") => {}
        Some(_) => {
            let path = FieldPath::of("spec.sessionAffinity");
            report.error(&path, "no kind of affinity", "use ClientIP or None");
            return None;
        }
    }
    let config = spec.session_affinity_config.as_ref();
    let client_ip = config.and_then(|config| config.client_ip.as_ref());
    let Some(timeout) = client_ip.and_then(|client_ip| client_ip.timeout_seconds) else {
        return NonZeroU32::new(AFFINITY_TIMEOUT_DEFAULT_S);
    };
    let timeout_s = u32::try_from(timeout).ok().and_then(NonZeroU32::new);
    let timeout_s = timeout_s.filter(|seconds| seconds.get() <= AFFINITY_TIMEOUT_MAX_S);
    if timeout_s.is_none() {
        let path = FieldPath::of("spec.sessionAffinityConfig.clientIP.timeoutSeconds");
        report.error(
            &path,
            "no timeout",
            "use a number of seconds from 1 to 86400",
        );
    }
    timeout_s
}

fn convert_internal_traffic_policy(spec: &v1::ServiceSpec, report: &mut Report<'_, '_>) -> bool {
    match spec.internal_traffic_policy.as_deref() {
        None | Some("" | "Cluster") => false,
        Some("Local") => true,
        Some(_) => {
            let path = FieldPath::of("spec.internalTrafficPolicy");
            report.error(&path, "no traffic policy", "use Cluster or Local");
            false
        }
    }
}

fn convert_traffic_distribution(
    spec: &v1::ServiceSpec,
    report: &mut Report<'_, '_>,
) -> TrafficDistribution {
    match spec.traffic_distribution.as_deref() {
        None | Some("") => TrafficDistribution::Any,
        Some("PreferSameZone" | "PreferClose") => TrafficDistribution::PreferSameZone,
        Some("PreferSameNode") => TrafficDistribution::PreferSameNode,
        Some(_) => {
            let path = FieldPath::of("spec.trafficDistribution");
            let remedy = "use PreferSameZone, PreferSameNode or PreferClose";
            report.error(&path, "no traffic distribution", remedy);
            TrafficDistribution::Any
        }
    }
}
