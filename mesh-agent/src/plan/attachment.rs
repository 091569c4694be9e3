//! Which routes hold for a service port: producer routes for every caller, consumer routes for callers of their own
//! namespace (GEP-1294).

use super::Routing;
use crate::model::{AppProtocol, Kind, ObjectId, ObjectName, Route, ServicePort};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A route and its identity.
pub(super) type Named<'a> = (&'a ObjectId, &'a Route);

/// Whether the proxy can serve what a port speaks; what is not known is looked at when connections come.
pub(super) const fn is_routable(protocol: Option<AppProtocol>) -> bool {
    match protocol {
        None | Some(AppProtocol::Grpc | AppProtocol::H2c | AppProtocol::Http2) => true,
        Some(AppProtocol::Http | AppProtocol::Wss | AppProtocol::Tcp) => false,
    }
}

/// The routes that hold for one port, in the order that decides ties.
#[derive(Debug, Default)]
pub(super) struct Attachment<'a> {
    /// For every caller without routes of its own.
    pub(super) producer: Vec<Named<'a>>,
    /// For callers of this namespace.
    pub(super) consumers: BTreeMap<&'a Arc<str>, Vec<Named<'a>>>,
    /// HTTPRoutes that are not in force, with the GRPCRoute that keeps them out.
    pub(super) conflicted: Vec<(Named<'a>, &'a ObjectId)>,
}

impl<'a> Attachment<'a> {
    /// Finds what of `sorted` routes holds for a port.
    pub(super) fn of(service: &ObjectName, port: &ServicePort, sorted: &[Named<'a>]) -> Self {
        let mut attachment = Self::default();
        if !is_routable(port.protocol) {
            return attachment;
        }
        for route in sorted
            .iter()
            .filter(|(_, route)| is_attached(route, service, port))
        {
            let namespace = &route.0.name.namespace;
            if *namespace == service.namespace {
                attachment.producer.push(*route);
            } else {
                attachment
                    .consumers
                    .entry(namespace)
                    .or_default()
                    .push(*route);
            }
        }
        let conflicted = &mut attachment.conflicted;
        keep_one_kind(&mut attachment.producer, conflicted);
        for routes in attachment.consumers.values_mut() {
            keep_one_kind(routes, conflicted);
        }
        attachment
    }

    /// Its sets of routes, with the namespace whose callers they hold for; `None`: all others.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (Option<&'a Arc<str>>, &[Named<'a>])> {
        let producer =
            Some((None, self.producer.as_slice())).filter(|(_, routes)| !routes.is_empty());
        let consumers = self.consumers.iter();
        producer
            .into_iter()
            .chain(consumers.map(|(namespace, routes)| (Some(*namespace), routes.as_slice())))
    }

    /// What the kernel has to know of it.
    pub(super) fn routing(&self, has_policy: bool, is_closed_on_failure: bool) -> Routing {
        Routing {
            is_routed_for_all: has_policy || !self.producer.is_empty(),
            consumer_namespaces: self
                .consumers
                .keys()
                .map(|namespace| Arc::clone(namespace))
                .collect(),
            is_closed_on_failure,
        }
    }
}

fn is_attached(route: &Route, service: &ObjectName, port: &ServicePort) -> bool {
    let mut parents = route.parents.iter();
    parents.any(|parent| parent.service == *service && parent.is_for(port.port, &port.name))
}

/// Routes merge within one kind only; gRPC goes first.
fn keep_one_kind<'a>(routes: &mut Vec<Named<'a>>, conflicted: &mut Vec<(Named<'a>, &'a ObjectId)>) {
    let winner = routes.iter().find(|(id, _)| id.kind == Kind::GrpcRoute);
    let Some(winner) = winner.map(|(id, _)| *id) else {
        return;
    };
    routes.retain(|route| {
        let is_kept = route.0.kind == Kind::GrpcRoute;
        if !is_kept {
            conflicted.push((*route, winner));
        }
        is_kept
    });
}

/// Puts routes into the order that decides ties: the oldest first, then by `namespace/name`.
pub(super) fn sort(routes: &mut [Named<'_>]) {
    let age = |route: &Route| route.created_s.unwrap_or(i64::MAX);
    routes.sort_by(|(a, a_route), (b, b_route)| {
        age(a_route)
            .cmp(&age(b_route))
            .then_with(|| by_text(&a.name, &b.name))
    });
}

/// As the joined texts compare: `a-b/x` comes before `a/x`.
fn by_text(a: &ObjectName, b: &ObjectName) -> Ordering {
    let text = |name: &'_ ObjectName| format!("{}/{}", name.namespace, name.name);
    text(a).cmp(&text(b))
}
