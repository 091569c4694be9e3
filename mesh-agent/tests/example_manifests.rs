//! Every manifest in `config/` is accepted as it stands: together, and without a warning.

use mesh_agent::model::NodeIdentity;
use mesh_agent::plan::Catalog;
use mesh_agent::source::file::read_directory;
use std::net::SocketAddr;
use std::path::Path;

#[test]
fn every_example_is_accepted_without_a_problem() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
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
