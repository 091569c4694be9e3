//! What an operator sees of the routed path while it is in use.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::deadline::eventually;
use mesh_tests::http;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents, workload};
use mesh_tests::network::Families;
use mesh_tests::pair::{CLUSTER_IP, Members, PORT, Pair, TARGET_PORT};
use mesh_tests::route::policy;
use mesh_tests::routed::{Routed, everything, reside};
use mesh_tests::stage::anywhere;
use mesh_tests::traced::{self, Call, Client, SERVICE};
use serde_json::{Value, json};
use std::time::Duration;

/// Far above the second within which all of it is to be seen.
const LIMIT: Duration = Duration::from_secs(20);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn explained(agent: &Agent) -> Result<String> {
    agent.command(&["explain", "--to", "shop/load:80", "--from", "shop"])
}

/// One of two endpoints takes no connection, and one pod is in no manifest.
#[test]
fn ejections_listeners_and_policies_are_shown_where_an_operator_looks() -> Result {
    let mut pair = Pair::new(Members::Both)?;
    let node = &pair.node;
    let gone = pair
        .network
        .add_pod(node.cgroup(), "gone-0", Families::V4)?;
    let stranger = pair
        .network
        .add_pod(node.cgroup(), "stranger-0", Families::V4)?;
    let endpoints = [&pair.server, &gone].map(|pod| Endpoint::ready(pod.ipv4()).pod(pod.name()));
    let load = documents([
        Service::new("load", &[CLUSTER_IP])
            .port("grpc", PORT)
            .manifest(),
        Slice::new("load", "grpc", TARGET_PORT, endpoints).manifest(),
        workload("client", &[pair.client.ipv4()]),
    ]);
    node.config().put("load.yaml", &load)?;
    let care = json!({
        "failureMode": "Closed",
        "loadBalancing": { "algorithm": "RoundRobin" },
        "outlierDetection": { "consecutiveFailures": 1, "baseEjectionTime": "250s" },
        "circuitBreaker": { "maxRequests": 77 },
        "retry": { "attempts": 1, "codes": ["UNAVAILABLE"] },
    });
    node.config()
        .put("policy.yaml", &policy("care", "load", &care))?;
    let routed = Routed::of(pair, &everything())?;
    // Pods end before their node.
    let (gone, stranger) = (gone, stranger);
    let _resident = reside(&stranger)?;
    let (agent, pair) = (&routed.agent, &routed.pair);
    let _server = traced::serve(&pair.server, anywhere())?;
    let mut client = Client::connect(&pair.client, pair.target())?;
    // By turns, so that the one that is gone is tried.
    for _ in 0..4 {
        assert_eq!(client.call(&Call::new("Reserve"))?.status, 0);
    }

    let endpoints = agent.command(&["endpoints", "shop/load"])?;
    let of_gone = format!("{}:{TARGET_PORT}", gone.ipv4());
    let row = |table: &str| {
        let mut rows = table.lines();
        rows.find(|row| row.contains(&of_gone)).map(str::to_owned)
    };
    let ejected = row(&endpoints).unwrap_or_default();
    assert!(ejected.contains("ejected for "), "{endpoints}");
    // The listener in a stranger's namespace may come late, and the end of a request after its answer.
    let told = eventually("all of it is told", LIMIT, || {
        let told = explained(agent).map_err(|error| error.to_string())?;
        let all = [
            "unknown callers   1 network namespace: ",
            "listeners         in 2 network namespaces of shop\n",
            "(ECONNREFUSED)  [MeshPolicy shop/care]\n",
            "requests 0 of 77, ",
        ];
        match all.into_iter().find(|says| !told.contains(says)) {
            None => Ok(told),
            Some(says) => Err(format!("not {says:?}: {told}")),
        }
    })?;
    let ejected = row(&told).unwrap_or_default();
    assert!(ejected.contains("ejected for "), "{told}");
    Ok(())
}

#[test]
fn a_routed_connection_leads_to_the_proxy_and_names_the_service() -> Result {
    let routed = Routed::new(&everything())?;
    let (agent, pair) = (&routed.agent, &routed.pair);
    let _server = traced::serve(&pair.server, anywhere())?;
    let mut client = Client::connect(&pair.client, pair.target())?;
    assert_eq!(client.call(&Call::new("Reserve"))?.status, 0);

    let open = eventually("a routed connection", LIMIT, || {
        let listed = agent
            .api("connections")
            .map_err(|error| error.to_string())?;
        let connections = listed["connections"].as_array().cloned();
        let mut connections = connections.into_iter().flatten();
        let routed = connections.find(|connection| connection["path"] == "routed");
        routed.ok_or_else(|| listed.to_string())
    })?;
    assert_eq!(open["service"], "shop/load", "{open}");
    assert_eq!(open["requested"], pair.target().to_string(), "{open}");
    assert_eq!(open["endpoint"], Value::Null, "{open}");
    let table = agent.command(&["connections"])?;
    let is_told = |row: &str| row.contains("shop/load") && row.contains(" proxy ");
    assert!(table.lines().any(is_told), "{table}");
    Ok(())
}

#[test]
fn a_recorded_call_is_an_exemplar_and_an_open_one_has_its_endpoints_workload() -> Result {
    let routed = Routed::new(&everything())?;
    let (agent, pair) = (&routed.agent, &routed.pair);
    let _server = traced::serve(&pair.server, anywhere())?;
    let mut client = Client::connect(&pair.client, pair.target())?;
    let sampled = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let call = Call::new("Slow").trace_parent(&sampled);
    assert_eq!(client.call(&call)?.status, 0);
    let line = eventually("an exemplar", LIMIT, || {
        let text = http::get(agent.admin(), "/metrics").map_err(|error| error.to_string())?;
        let exemplar = format!("# {{trace_id=\"{TRACE}\"}} ");
        let mut lines = text.body.lines();
        let found = lines.find(|line| line.contains(&exemplar));
        found.map(str::to_owned).ok_or(text.body)
    })?;
    assert!(
        line.starts_with("rpc_client_call_duration_seconds_bucket{"),
        "{line}"
    );
    assert!(line.contains("path=\"routed\""), "{line}");

    client.begin(&Call::new("Slow").delay_ms(60_000))?;
    let method = format!("{SERVICE}/Slow");
    let labels = [
        ("path", "routed"),
        ("rpc_method", method.as_str()),
        ("destination_workload", "server"),
        ("source_workload", "client"),
    ];
    agent.expect("mesh_rpc_active", &labels, 1)
}
