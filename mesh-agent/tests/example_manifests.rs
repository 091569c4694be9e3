//! Every manifest in `config/` is accepted as it stands, together and without a warning, and does what it shows.

use mesh_agent::api::{ExplainQuery, Explanation, RuleVerdict, Treatment};
use mesh_agent::config::parse_file;
use mesh_agent::model::NodeIdentity;
use mesh_agent::plan::Catalog;
use mesh_agent::reconcile::Plans;
use mesh_agent::source::file::read_directory;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

#[test]
fn every_example_is_accepted_without_a_problem() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/shop");
    let batch = read_directory(&directory).unwrap();
    assert!(batch.files.len() >= 3, "{:?}", batch.files.keys());
    assert_eq!(batch.problems, []);

    let mut catalog = Catalog::new(NodeIdentity::named("node-a"));
    let update = catalog.set_files(batch.files.into_iter().collect());

    assert_eq!(catalog.problems(), []);
    assert_eq!(catalog.rejected(), 0);
    assert_eq!(update.changes.len(), catalog.services().count());
    let names: Vec<String> = catalog
        .services()
        .map(|plan| plan.name.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "shop/inventory",
            "shop/inventory-v2",
            "shop/order",
            "shop/payment",
            "shop/search"
        ]
    );
    let inventory = SocketAddr::from(([127, 96, 0, 11], 50051));
    let port = update.routes.unwrap().port(inventory).cloned().unwrap();
    let rules: Vec<String> = port
        .producer
        .rules()
        .map(|rule| rule.name.to_string())
        .collect();
    let rules_in_order = ["testers", "canary", "everything-else"];
    let route = "GRPCRoute shop/inventory-canary rule";
    assert_eq!(rules, rules_in_order.map(|rule| format!("{route} {rule}")));
}

/// What explains an example: the request to ask for, and what is said of it.
struct Example {
    file: &'static str,
    from: &'static str,
    headers: &'static [&'static str],
    says: &'static [&'static str],
}

const fn example(
    file: &'static str,
    headers: &'static [&'static str],
    says: &'static [&'static str],
) -> Example {
    Example {
        file,
        from: "shop",
        headers,
        says,
    }
}

const EXAMPLES: [Example; 11] = [
    example(
        "canary",
        &[],
        &[
            "to shop/inventory:50051, 90",
            "to shop/inventory-v2:50051, 10",
        ],
    ),
    example(
        "headers",
        &["x-tester: yes"],
        &[
            "GRPCRoute shop/inventory-testers rule testers",
            "request: without x-tester",
            "request: set x-chosen-by: mesh",
            "to shop/inventory-v2:50051, 1",
        ],
    ),
    example(
        "headers",
        &["x-tester: no"],
        &[
            "GRPCRoute shop/inventory-testers rule others",
            "to shop/inventory:50051, 1",
        ],
    ),
    example(
        "mirror",
        &[],
        &["10 of 100 copied to shop/inventory-v2:50051"],
    ),
    example(
        "retries",
        &[],
        &[
            "retry: 2 attempts more on RESOURCE_EXHAUSTED, UNAVAILABLE, after 25.0 ms to 250.0 ms",
            "retry.budget: 20 % of the requests of 10.0 s, at least 10 in 1.0 s",
        ],
    ),
    example(
        "timeouts",
        &[],
        &["timeouts: request 2.0 s, backendRequest 500.0 ms, streamIdle 1h00m"],
    ),
    example(
        "fallback",
        &[],
        &["fallback: shop/inventory-v2:50051 on NoEndpoint, ConnectFailure, CircuitOpen"],
    ),
    example(
        "rate-limit",
        &[],
        &["rateLimit: 500 requests a second for each calling workload, burst 100"],
    ),
    example(
        "faults",
        &["x-fault: yes"],
        &["fault: 50 % wait for 100.0 ms, 10 % get UNAVAILABLE"],
    ),
    example(
        "health",
        &[],
        &[
            "failureMode: Closed [MeshPolicy shop/inventory-health]",
            "circuitBreaker: at most 64 connections, 512 requests, 128 waiting",
        ],
    ),
    Example {
        file: "consumer",
        from: "lab",
        headers: &[],
        says: &["to shop/inventory-v2:50051, 1"],
    },
];

#[test]
fn every_example_of_routing_does_what_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut unseen: BTreeSet<String> = fs::read_dir(directory.join("routing"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for example in &EXAMPLES {
        let file = format!("{}.yaml", example.file);
        unseen.remove(&file);
        let mut catalog = Catalog::new(NodeIdentity::named("node-a"));
        let example_path = format!("routing/{file}");
        for path in ["shop/shop.yaml", "shop/inventory-v2.yaml", &example_path] {
            let path = directory.join(path);
            let parsed = parse_file(&path, &fs::read(&path).unwrap());
            catalog.set_file(&path, Some(parsed));
        }
        assert_eq!(catalog.problems(), [], "{file}");
        let query = ExplainQuery {
            to: "shop/inventory:50051".parse().unwrap(),
            from: Some(example.from.parse().unwrap()),
            call: Some("/shop.v1.Inventory/GetItem".parse().unwrap()),
            headers: example
                .headers
                .iter()
                .map(|header| header.parse().unwrap())
                .collect(),
        };
        let explanation = Plans::of(&catalog).explain(&query).unwrap();
        assert_eq!(explanation.path, "routed", "{file}: {}", explanation.why);
        let told = told(&explanation);
        for line in example.says {
            assert!(told.iter().any(|told| told == line), "{file}: {told:#?}");
        }
    }
    assert_eq!(unseen, BTreeSet::new(), "examples that nothing is asked of");
}

/// An explanation line by line.
fn told(explanation: &Explanation) -> Vec<String> {
    let section = |treatment: &Treatment| format!("{}: {}", treatment.section, treatment.says);
    let mut told = explanation.edits.clone();
    let set_by = explanation.failure_mode_set_by.as_deref();
    let set_by = set_by.unwrap_or("default");
    told.push(format!(
        "failureMode: {} [{set_by}]",
        explanation.failure_mode
    ));
    let rules = explanation.rules.iter();
    let met = rules.filter(|judged| judged.verdict == RuleVerdict::Met);
    told.extend(met.map(|judged| judged.rule.name.clone()));
    told.extend(explanation.treatment.iter().map(section));
    for destination in &explanation.destinations {
        let to = destination.to.as_deref().unwrap_or("nowhere");
        told.push(format!("to {to}, {}", destination.weight));
        told.extend(destination.edits.iter().cloned());
        told.extend(destination.treatment.iter().map(section));
    }
    told
}
