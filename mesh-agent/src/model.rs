//! L0: plain, validated types that every room speaks.

mod node;
mod object;
mod parsed;
mod policy;
mod problem;
mod service;
mod slice;

pub use node::{Node, NodeIdentity};
pub use object::{Body, Kind, ObjectId, ObjectName};
pub use parsed::{Object, ParsedFile};
pub use policy::{Locality, Policy, PolicyTarget};
pub use problem::{ObjectLabel, Problem, Severity};
pub use service::{AppProtocol, ClusterIps, Service, ServicePort, TrafficDistribution};
pub use slice::{Endpoint, Slice, SlicePort};
