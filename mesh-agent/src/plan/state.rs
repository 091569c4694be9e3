//! Everything that concerns one Service, whether or not it exists itself.

use super::references::{as_policy, as_route};
use super::{ServicePlan, attachment, policies};
use crate::model::{Body, ObjectId, Service, Slice};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that concerns one Service, whether or not it exists itself.
#[derive(Debug, Default)]
pub(super) struct ServiceState {
    /// The Service.
    pub(super) service: Option<Arc<Body>>,
    /// Its slices by name.
    pub(super) slices: BTreeMap<Arc<str>, Arc<Body>>,
    /// The policies that target it.
    pub(super) policies: BTreeMap<ObjectId, Arc<Body>>,
    /// The routes attached to it.
    pub(super) routes: BTreeMap<ObjectId, Arc<Body>>,
    /// What follows from them.
    pub(super) plan: Option<Arc<ServicePlan>>,
}

impl ServiceState {
    /// Whether nothing concerns it.
    pub(super) fn is_empty(&self) -> bool {
        self.service.is_none()
            && self.slices.is_empty()
            && self.policies.is_empty()
            && self.routes.is_empty()
    }

    /// The Service, if there is one.
    pub(super) fn service(&self) -> Option<&Service> {
        as_service(self.service.as_ref())
    }

    /// What is done for it.
    pub(super) const fn plan(&self) -> Option<&Arc<ServicePlan>> {
        self.plan.as_ref()
    }

    /// Whether some port of it is routed for somebody.
    pub(super) fn is_routed(&self) -> bool {
        let mut ports = self.plan.iter().flat_map(|plan| &plan.ports);
        ports.any(|port| !port.routing.is_direct())
    }

    /// Its slices in the order of their names.
    pub(super) fn slices(&self) -> impl Iterator<Item = (&Arc<str>, &Slice)> {
        self.slices.iter().filter_map(|(name, body)| match &**body {
            Body::Slice(slice) => Some((name, slice)),
            Body::Service(_) | Body::Node(_) | Body::Policy(_) | Body::Route(_) => None,
        })
    }

    /// The policies that target it, in the order in which they win.
    pub(super) fn policies(&self) -> Vec<policies::Named<'_>> {
        let named = self.policies.iter().filter_map(|(id, body)| {
            let policy = as_policy(body)?;
            Some(policies::Named { id, policy })
        });
        let mut named: Vec<policies::Named<'_>> = named.collect();
        policies::sort(&mut named);
        named
    }

    /// The routes attached to it, in the order that decides ties.
    pub(super) fn routes(&self) -> Vec<attachment::Named<'_>> {
        let routes = self.routes.iter();
        let mut named: Vec<attachment::Named<'_>> = routes
            .filter_map(|(id, body)| Some((id, as_route(body)?)))
            .collect();
        attachment::sort(&mut named);
        named
    }
}

/// What a body is, if it is a Service.
pub(super) fn as_service(body: Option<&Arc<Body>>) -> Option<&Service> {
    match &**body? {
        Body::Service(service) => Some(service),
        Body::Slice(_) | Body::Node(_) | Body::Policy(_) | Body::Route(_) => None,
    }
}
