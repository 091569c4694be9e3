//! Builders of `GRPCRoute`, `HTTPRoute` and `MeshPolicy` manifests.

use serde_json::{Value, json};

/// A route of namespace `shop` that is attached to a Service of it.
#[derive(Clone, Debug)]
pub struct Route {
    object: Value,
    port: u16,
}

impl Route {
    /// A `GRPCRoute` without rules.
    #[must_use]
    pub fn grpc(name: &str, service: &str) -> Self {
        Self::new("GRPCRoute", name, service)
    }

    /// An `HTTPRoute` without rules.
    #[must_use]
    pub fn http(name: &str, service: &str) -> Self {
        Self::new("HTTPRoute", name, service)
    }

    fn new(kind: &str, name: &str, service: &str) -> Self {
        Self {
            object: json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": kind,
                "metadata": { "name": name, "namespace": "shop" },
                "spec": {
                    "parentRefs": [{ "group": "", "kind": "Service", "name": service }],
                    "rules": [],
                },
            }),
            port: 80,
        }
    }

    /// Attaches it to one port of the Service, whose rules' backends have that port too.
    #[must_use]
    pub fn of_port(mut self, port: u16) -> Self {
        self.object["spec"]["parentRefs"][0]["port"] = json!(port);
        self.port = port;
        self
    }

    /// Sets when it was made (RFC 3339): of two rules that match alike, the older route's holds.
    #[must_use]
    pub fn made_at(mut self, time: &str) -> Self {
        self.object["metadata"]["creationTimestamp"] = json!(time);
        self
    }

    /// Moves it to another Kubernetes namespace, from which it goes on naming Services of `shop`: a consumer route (GEP-1294).
    #[must_use]
    pub fn of_consumers(mut self, namespace: &str) -> Self {
        self.object["metadata"]["namespace"] = json!(namespace);
        self.object["spec"]["parentRefs"][0]["namespace"] = json!("shop");
        let rules = self.object["spec"]["rules"].as_array_mut();
        for backend in rules
            .into_iter()
            .flatten()
            .filter_map(|rule| rule["backendRefs"].as_array_mut())
            .flatten()
        {
            backend["namespace"] = json!("shop");
        }
        self
    }

    /// Adds a rule: its matches as they stand in the manifest, none for all requests, and backends with their weights, at
    /// port 80 unless [`Route::of_port`] was called before.
    #[must_use]
    pub fn rule(self, matches: &Value, backends: &[(&str, u32)]) -> Self {
        self.rule_with(matches, backends, json!({}))
    }

    /// [`Route::rule`] with further fields (`filters`, `timeouts`, …).
    #[must_use]
    pub fn rule_with(
        mut self,
        matches: &Value,
        backends: &[(&str, u32)],
        mut fields: Value,
    ) -> Self {
        let backends: Vec<_> = backends
            .iter()
            .map(|(name, weight)| json!({ "name": name, "port": self.port, "weight": weight }))
            .collect();
        fields["backendRefs"] = json!(backends);
        if !matches.is_null() {
            fields["matches"] = matches.clone();
        }
        if let Some(rules) = self.object["spec"]["rules"].as_array_mut() {
            rules.push(fields);
        }
        self
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("{:#}\n", self.object)
    }
}

/// A `MeshPolicy` of namespace `shop` for a Service: its sections as they stand in the manifest.
#[must_use]
pub fn policy(name: &str, service: &str, sections: &Value) -> String {
    let mut spec = sections.clone();
    spec["targetRefs"] = json!([{ "group": "", "kind": "Service", "name": service }]);
    let object = json!({
        "apiVersion": "mesh.dev/v1alpha1",
        "kind": "MeshPolicy",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": spec,
    });
    format!("{object:#}\n")
}
