//! A GRPCRoute or HTTPRoute attached to Services (GAMMA), reduced to what the mesh acts on.

use super::{HeaderEdits, ObjectId, ObjectName, Pattern, Retry};
use http::header::HeaderName;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A route attached to Services. Which kind it is stands in its [`ObjectId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `creationTimestamp` in seconds since 1970: the older wins ties. A route without one counts as youngest.
    pub created_s: Option<i64>,
    /// The Services it is attached to.
    pub parents: Vec<ParentRef>,
    /// Its rules in the order written.
    pub rules: Vec<RouteRule>,
}

/// A Service, or one port of it, that a route is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentRef {
    /// The Service.
    pub service: ObjectName,
    /// `port`.
    pub port: Option<u16>,
    /// `sectionName`: the port's name.
    pub port_name: Option<Arc<str>>,
    /// Its index in `spec.parentRefs`.
    pub index: usize,
}

impl ParentRef {
    /// Whether the port with this number and name is meant.
    #[must_use]
    pub fn is_for(&self, port: u16, name: &str) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
            && self
                .port_name
                .as_deref()
                .is_none_or(|wanted| wanted == name)
    }
}

/// One rule of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRule {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// Any one of them suffices; none: every request.
    pub matches: Arc<[RouteMatch]>,
    /// Where its requests go.
    pub backends: Vec<BackendRef>,
    /// What is done to its requests, whichever backend they go to.
    pub filters: Filters,
    /// `timeouts.request` (HTTPRoute); zero: no bound.
    pub request_timeout: Option<Duration>,
    /// `timeouts.backendRequest` (HTTPRoute); zero: no bound.
    pub backend_request_timeout: Option<Duration>,
    /// `retry` (HTTPRoute).
    pub retry: Option<Retry>,
}

/// What a request must look like: every part given must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// A match of a GRPCRoute.
    Grpc(GrpcMatch),
    /// A match of an HTTPRoute.
    Http(HttpMatch),
}

/// A match of a GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcMatch {
    /// The gRPC service (`pkg.Service`).
    pub service: Option<TextMatch>,
    /// The method, without its service.
    pub method: Option<TextMatch>,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
}

/// A match of an HTTPRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpMatch {
    /// The path, without its query.
    pub path: PathMatch,
    /// The request's method.
    pub method: Option<http::Method>,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters: name and value as they stand in the path, percent-encoding and all.
    pub query: Vec<(Arc<str>, TextMatch)>,
}

/// How a path must look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// Exactly so.
    Exact(Arc<str>),
    /// So in its first elements; without the slash at the end, so that `/` is empty and matches every path.
    Prefix(Arc<str>),
    /// As this expression says.
    Pattern(Pattern),
}

/// A header and how its value must look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The header.
    pub name: HeaderName,
    /// Its value; those of a repeated header are joined by commas (RFC 9110, 5.3).
    pub value: TextMatch,
}

/// How a text must look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// Exactly so.
    Exact(Arc<str>),
    /// As this expression says.
    Pattern(Pattern),
}

/// A Service that gets a share of a rule's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendRef {
    /// Which.
    pub to: Destination,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// What is done to requests that go there, besides the rule's own filters.
    pub filters: Filters,
    /// Its index in `backendRefs` of the rule.
    pub index: usize,
}

/// Where a `backendRef` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To a port of a Service, which may or may not exist.
    Service(ObjectName, u16),
    /// Nowhere, for this reason: it can never resolve as written.
    Nowhere(Arc<str>),
}

/// What is done to requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// `RequestHeaderModifier`.
    pub request_headers: HeaderEdits,
    /// `ResponseHeaderModifier`.
    pub response_headers: HeaderEdits,
    /// `RequestMirror`.
    pub mirrors: Vec<MirrorRef>,
}

/// A Service that gets copies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRef {
    /// Which.
    pub to: Destination,
    /// So many …
    pub numerator: u32,
    /// … of so many requests are copied.
    pub denominator: u32,
    /// Where the filter stands (`spec.rules[0].filters[1].requestMirror.backendRef`).
    pub path: Arc<str>,
}

/// Which rule of which route, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleName {
    /// The route; a Service, if none is attached.
    pub object: ObjectId,
    /// Its index in `spec.rules`.
    pub index: usize,
    /// Its `name`.
    pub name: Option<Arc<str>>,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            _ if self.object.kind == super::Kind::Service => write!(f, "{}", self.object),
            Some(name) => write!(f, "{} rule {name}", self.object),
            None => write!(f, "{} rule {}", self.object, self.index),
        }
    }
}
