//! L0: plain, validated types that every room speaks.

mod draws;
mod header;
mod node;
mod object;
mod parsed;
mod pattern;
mod policy;
mod problem;
mod route;
mod route_text;
mod service;
mod slice;
mod traffic;

pub use draws::Draws;
pub use header::HeaderEdits;
pub use node::{Node, NodeIdentity};
pub use object::{Body, Kind, ObjectId, ObjectName};
pub use parsed::{Object, ParsedFile};
pub use pattern::Pattern;
pub use policy::{
    BackendSections, CallSections, LoadBalancingSection, Locality, Policy, PolicyAim, PolicyTarget,
};
pub use problem::{ObjectLabel, Problem, Severity};
pub use route::{
    BackendRef, Destination, Filters, GrpcMatch, HeaderMatch, HttpMatch, MirrorRef, ParentRef,
    PathMatch, Route, RouteMatch, RouteRule, RuleName, TextMatch,
};
pub use service::{AppProtocol, ClusterIps, Service, ServicePort, TrafficDistribution};
pub use slice::{Endpoint, Slice, SlicePort};
pub use traffic::{
    Algorithm, BackendTraffic, CallTraffic, CircuitBreaker, CodeSet, FailurePercentage, Fallback,
    FallbackAnswer, FallbackReasons, Fault, HashKey, LoadBalancing, OutlierDetection, RateLimit,
    RateLimitKey, Retry, RetryBudget, Timeouts,
};
