//! L0: plain, validated types that every room speaks.

mod draws;
mod node;
mod object;
mod parsed;
mod policy;
mod problem;
mod service;
mod slice;
mod traffic;

pub use draws::Draws;
pub use node::{Node, NodeIdentity};
pub use object::{Body, Kind, ObjectId, ObjectName};
pub use parsed::{Object, ParsedFile};
pub use policy::{Locality, Policy, PolicyTarget};
pub use problem::{ObjectLabel, Problem, Severity};
pub use service::{AppProtocol, ClusterIps, Service, ServicePort, TrafficDistribution};
pub use slice::{Endpoint, Slice, SlicePort};
pub use traffic::{
    Algorithm, BackendTraffic, CallTraffic, CircuitBreaker, CodeSet, FailurePercentage, Fallback,
    FallbackAnswer, FallbackReasons, Fault, HashKey, LoadBalancing, OutlierDetection, RateLimit,
    RateLimitKey, Retry, RetryBudget, Timeouts,
};
