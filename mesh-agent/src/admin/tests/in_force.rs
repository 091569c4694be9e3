//! What the admin server says of a configuration, and of questions about what is not in it.

use super::{Bench, run};
use crate::api::{Endpoint, Endpoints, ExplainQuery, Explanation, Routes, Services};
use crate::config::parse_file;
use crate::source::Batch;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A Service with a route of its own.
const ROUTED: &str = "
apiVersion: v1
kind: Service
metadata: {name: inventory, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: grpc, port: 50051}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: inventory}]
  rules:
  - matches: [{headers: [{name: x-tester, value: 'a&b'}]}]
    backendRefs: [{name: gone, port: 1}]
  - matches: [{method: {service: a.S, method: Get}}]
    backendRefs: [{name: inventory, port: 50051}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: inventory-1, namespace: shop, labels: {kubernetes.io/service-name: inventory}}
addressType: IPv4
ports: [{name: grpc, port: 8080}]
endpoints: [{addresses: [10.1.0.5]}, {addresses: [10.1.0.6]}]
";

impl Bench {
    fn configure(&self, text: &str) {
        let path: Arc<Path> = Path::new("a.yaml").into();
        let parsed = parse_file(&path, text.as_bytes());
        self.inbox.put(Batch {
            seen: Instant::now(),
            files: [(path, Some(parsed))].into_iter().collect(),
            problems: vec![],
        });
    }
}

#[test]
fn paths_routes_and_explanations_are_of_what_is_in_force() {
    run(async {
        let bench = Bench::start().await;
        bench.configure(ROUTED);
        let services: Services =
            serde_json::from_str(&bench.get("/api/services").await.body).unwrap();
        assert_eq!(services.services[0].ports[0].path, "routed");
        let routes: Routes = serde_json::from_str(&bench.get("/api/routes").await.body).unwrap();
        assert_eq!(routes.ports[0].service, "shop/inventory");

        let query = ExplainQuery {
            to: "inventory:grpc".parse().unwrap(),
            from: None,
            call: Some("/a.S/M".parse().unwrap()),
            headers: vec!["x-tester: a&b".parse().unwrap()],
        };
        let answer = bench
            .get(&format!("/api/explain?{}", query.to_query()))
            .await;
        let explanation: Explanation = serde_json::from_str(&answer.body).unwrap();
        let answer = explanation.answer.unwrap();
        assert!(
            answer.ends_with("there is no Service shop/gone"),
            "{answer}"
        );
        let problems: Vec<&str> = explanation
            .problems
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        assert_eq!(problems, ["spec.rules", "spec.rules[0].backendRefs[0]"]);
        bench.stop().await;
    });
}

#[test]
fn ejections_and_open_circuits_are_shown_where_the_endpoints_are() {
    run(async {
        let bench = Bench::start().await;
        bench.configure(ROUTED);
        let endpoints: Endpoints =
            serde_json::from_str(&bench.get("/api/endpoints").await.body).unwrap();
        let explain = "/api/explain?to=inventory:grpc&method=/a.S/Get&from=shop";
        let explanation: Explanation =
            serde_json::from_str(&bench.get(explain).await.body).unwrap();
        let [destination] = &explanation.destinations[..] else {
            panic!("{explanation:?}");
        };
        for endpoints in [&endpoints.endpoints, &destination.endpoints] {
            let states: Vec<_> = endpoints.iter().map(Endpoint::state_in_words).collect();
            assert_eq!(states, ["ejected for 9.0 s", "in use"]);
        }
        assert!(destination.bounds[0].is_reached());
        let listeners = explanation.listeners.unwrap();
        assert_eq!((listeners.listening, listeners.unknown), (0, 1));
        let page = bench.get("/").await.body;
        assert!(page.contains("ejected for 9.0 s"), "{page}");
        bench.stop().await;
    });
}

#[test]
fn what_cannot_be_explained_says_whose_fault_it_is() {
    run(async {
        let bench = Bench::start().await;
        for (query, status, named) in [
            ("", 400, "to="),
            ("?to=inventory:80&who=me", 400, "who"),
            ("?to=shop%2Finventory:80", 422, "no service shop/inventory"),
        ] {
            let answer = bench.get(&format!("/api/explain{query}")).await;
            assert_eq!(answer.status(), status, "{query}");
            assert!(answer.body.contains(named), "{query}: {}", answer.body);
        }
        bench.stop().await;
    });
}
