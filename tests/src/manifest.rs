//! Builders of `Service` and `EndpointSlice` manifests.

use serde_json::{Value, json};
use std::net::IpAddr;

/// A `v1/Service`.
#[derive(Clone, Debug)]
pub struct Service {
    object: Value,
}

impl Service {
    /// A Service in namespace `shop` with one cluster IP (`10.96.0.10`), or `None`: headless.
    #[must_use]
    pub fn new(name: &str, cluster_ips: &[&str]) -> Self {
        let first = cluster_ips.first().copied().unwrap_or("None");
        let families: Vec<_> = cluster_ips
            .iter()
            .map(|ip| if ip.contains(':') { "IPv6" } else { "IPv4" })
            .collect();
        let mut spec = json!({ "clusterIP": first, "ports": [] });
        if !cluster_ips.is_empty() {
            spec["clusterIPs"] = json!(cluster_ips);
            spec["ipFamilies"] = json!(families);
        }
        Self {
            object: json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": { "name": name, "namespace": "shop" },
                "spec": spec,
            }),
        }
    }

    /// Adds a TCP port that speaks gRPC and whose slices name it by `name`.
    #[must_use]
    pub fn port(self, name: &str, port: u16) -> Self {
        self.add(json!({ "name": name, "port": port, "appProtocol": "grpc" }))
    }

    /// Adds a TCP port of which nobody says what it speaks.
    #[must_use]
    pub fn plain_port(self, name: &str, port: u16) -> Self {
        self.add(json!({ "name": name, "port": port }))
    }

    fn add(mut self, entry: Value) -> Self {
        if let Some(ports) = self.object["spec"]["ports"].as_array_mut() {
            ports.push(entry);
        }
        self
    }

    /// Sets a field of the spec (`trafficDistribution`, `internalTrafficPolicy`, …).
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.object["spec"][field] = value;
        self
    }

    /// Sets `sessionAffinity: ClientIP` with a timeout.
    #[must_use]
    pub fn affinity(self, timeout_seconds: u32) -> Self {
        self.with("sessionAffinity", json!("ClientIP")).with(
            "sessionAffinityConfig",
            json!({ "clientIP": { "timeoutSeconds": timeout_seconds } }),
        )
    }

    /// The manifest. JSON is YAML too, so this is what a file holds.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("{:#}\n", self.object)
    }
}

/// One endpoint of a slice.
#[derive(Clone, Debug)]
pub struct Endpoint {
    object: Value,
}

impl Endpoint {
    /// A ready endpoint.
    #[must_use]
    pub fn ready(address: IpAddr) -> Self {
        Self::with_conditions(address, true, true, false)
    }

    /// An endpoint whose pod is being deleted but still serves.
    #[must_use]
    pub fn terminating(address: IpAddr) -> Self {
        Self::with_conditions(address, false, true, true)
    }

    /// An endpoint that is not ready.
    #[must_use]
    pub fn not_ready(address: IpAddr) -> Self {
        Self::with_conditions(address, false, false, false)
    }

    fn with_conditions(address: IpAddr, ready: bool, serving: bool, terminating: bool) -> Self {
        Self {
            object: json!({
                "addresses": [address.to_string()],
                "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
            }),
        }
    }

    /// Sets whether it is ready; serving follows.
    #[must_use]
    pub fn with_ready(mut self, ready: bool) -> Self {
        self.object["conditions"]["ready"] = json!(ready);
        self.object["conditions"]["serving"] = json!(ready);
        self
    }

    /// Sets the pod behind it (`inventory-6d5f7c9b8-x2x4q` belongs to workload `inventory`).
    #[must_use]
    pub fn pod(mut self, name: &str) -> Self {
        self.object["targetRef"] = json!({ "kind": "Pod", "name": name, "namespace": "shop" });
        self
    }

    /// Sets node and zone.
    #[must_use]
    pub fn at(mut self, node: &str, zone: &str) -> Self {
        self.object["nodeName"] = json!(node);
        self.object["zone"] = json!(zone);
        self
    }

    /// Sets the zones for which it is hinted.
    #[must_use]
    pub fn for_zones(mut self, zones: &[&str]) -> Self {
        let zones: Vec<_> = zones.iter().map(|zone| json!({ "name": zone })).collect();
        self.object["hints"] = json!({ "forZones": zones });
        self
    }
}

/// A `discovery.k8s.io/v1` `EndpointSlice`.
#[derive(Clone, Debug)]
pub struct Slice {
    object: Value,
}

impl Slice {
    /// A slice of `service` in namespace `shop`, with one port; its family is that of its first endpoint.
    #[must_use]
    pub fn new(
        service: &str,
        port_name: &str,
        port: u16,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Self {
        let endpoints: Vec<_> = endpoints
            .into_iter()
            .map(|endpoint| endpoint.object)
            .collect();
        let is_ipv6 = endpoints
            .first()
            .and_then(|endpoint| endpoint["addresses"][0].as_str())
            .is_some_and(|address| address.contains(':'));
        let family = if is_ipv6 { "IPv6" } else { "IPv4" };
        Self {
            object: json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{service}-{port_name}-{}-{port}", family.to_lowercase()),
                    "namespace": "shop",
                    "labels": { "kubernetes.io/service-name": service },
                },
                "addressType": family,
                "ports": [{ "name": port_name, "port": port, "protocol": "TCP" }],
                "endpoints": endpoints,
            }),
        }
    }

    /// Whether it has no endpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.object["endpoints"]
            .as_array()
            .is_none_or(Vec::is_empty)
    }

    /// Names the slice, where the given name is not unique.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.object["metadata"]["name"] = json!(name);
        self
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("{:#}\n", self.object)
    }
}

/// A `v1/Node` in a zone.
#[must_use]
pub fn node(name: &str, zone: &str) -> String {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } },
    });
    format!("{object:#}\n")
}

/// A `MeshPolicy` that sets `loadBalancing.locality` (`Failover`, `Strict`, `Off`) of a Service in namespace `shop`.
#[must_use]
pub fn locality_policy(service: &str, locality: &str) -> String {
    let object = json!({
        "apiVersion": "mesh.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": { "name": service, "namespace": "shop" },
        "spec": {
            "targetRefs": [{ "group": "", "kind": "Service", "name": service }],
            "loadBalancing": { "locality": locality },
        },
    });
    format!("{object:#}\n")
}

/// A `MeshPolicy` of a Service in namespace `shop` that only the proxy can carry out, and what becomes of connections
/// without it (`Open`, `Closed`).
#[must_use]
pub fn routing_policy(service: &str, failure_mode: &str) -> String {
    let object = json!({
        "apiVersion": "mesh.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": { "name": format!("{service}-requests"), "namespace": "shop" },
        "spec": {
            "targetRefs": [{ "group": "", "kind": "Service", "name": service }],
            "failureMode": failure_mode,
            "timeouts": { "request": "30s" },
        },
    });
    format!("{object:#}\n")
}

/// A headless Service with one slice whose only use is to tell the mesh which pod has which address.
#[must_use]
pub fn workload(name: &str, addresses: &[IpAddr]) -> String {
    let endpoint = |address: IpAddr| Endpoint::ready(address).pod(&format!("{name}-0"));
    let of_family = |is_ipv6: bool| {
        addresses
            .iter()
            .copied()
            .filter(move |address| address.is_ipv6() == is_ipv6)
            .map(endpoint)
    };
    let slices = [false, true].map(|is_ipv6| Slice::new(name, "none", 9, of_family(is_ipv6)));
    let slices = slices
        .iter()
        .filter(|slice| !slice.is_empty())
        .map(Slice::manifest);
    documents(
        [Service::new(name, &[]).port("none", 9).manifest()]
            .into_iter()
            .chain(slices),
    )
}

/// The same manifests in another Kubernetes namespace than `shop`.
#[must_use]
pub fn moved_to(namespace: &str, manifests: &str) -> String {
    let of = |namespace: &str| format!("\"namespace\": \"{namespace}\"");
    manifests.replace(&of("shop"), &of(namespace))
}

/// Joins manifests into one file.
#[must_use]
pub fn documents(manifests: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut file = String::new();
    for manifest in manifests {
        if !file.is_empty() {
            file.push_str("---\n");
        }
        file.push_str(manifest.as_ref());
    }
    file
}
