//! L0: what the agent says of itself, as the JSON under `/api/` and as the command line reads it.
//!
//! The server writes and the command line reads these very types, so that the two cannot drift apart.

mod connection;
mod endpoint;
mod explain;
mod problem;
pub mod quantity;
mod route;
mod rpcs;
mod service;
mod status;
mod tap;

pub use connection::{Connection, Connections};
pub use endpoint::{Endpoint, Endpoints};
pub use explain::{
    Bound, Call, Caller, CallerListeners, ExplainQuery, ExplainedDestination, Explanation, Header,
    JudgedRule, RuleVerdict, Target, Treatment,
};
pub use problem::{Problem, Problems, Severity};
pub use route::{RouteBackend, RouteRule, RoutedPort, Routes, RuleSet};
pub use rpcs::{MethodTotals, RpcSide, Rpcs};
pub use service::{Family, Port, Service, Services};
pub use status::{
    Configuration, Count, Map, Meter, MeteredDirections, Program, ProxyActivity, Status,
};
pub use tap::{StatusFilter, TAPS_MAX, TapQuery, TappedRpc};

/// Readers that are served at once. Bounds the admin server's connections and every queue of questions.
pub const READERS_MAX: usize = 32;

/// `namespace/name`, or what there is of it.
fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() || name.is_empty() {
        return name.to_owned();
    }
    format!("{namespace}/{name}")
}
