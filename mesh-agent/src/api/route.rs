//! What is routed: service ports, their rules and where those send requests.

use serde::{Deserialize, Serialize};

/// `/api/routes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Ordered by service, port and address family.
    pub ports: Vec<RoutedPort>,
}

/// A service port that is routed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedPort {
    /// `namespace/name` of the Service.
    pub service: String,
    /// The service port.
    pub port: u16,
    /// Whether this is for callers that connect over IPv6.
    pub ipv6: bool,
    /// `Open` or `Closed`.
    pub failure_mode: String,
    /// Sets of rules: first for everybody, then for the namespaces that have their own.
    pub rule_sets: Vec<RuleSet>,
}

/// The rules that hold for some callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSet {
    /// The callers' namespace; none: everybody else.
    pub callers: Option<String>,
    /// In the order of their precedence.
    pub rules: Vec<RouteRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRule {
    /// Kind, `namespace/name` and the rule's name or index.
    pub name: String,
    /// Any of these; none: every request.
    pub matches: Vec<String>,
    /// Where its requests go.
    pub backends: Vec<RouteBackend>,
    /// Policies and routes that say how its requests are treated, by section.
    pub set_by: Vec<(String, String)>,
}

/// Where a share of a rule's requests goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteBackend {
    /// `namespace/name:port`; none: its reference does not resolve.
    pub to: Option<String>,
    /// Why the reference does not resolve.
    pub problem: Option<String>,
    /// Its weight.
    pub weight: u32,
    /// Endpoints that get its requests.
    pub endpoints: usize,
}
