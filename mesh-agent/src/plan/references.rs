//! Who refers to whom: routes to the Services they send requests to, policies to routes.

use super::policies;
use crate::model::{
    Body, Destination, FallbackAnswer, ObjectId, ObjectName, Policy, PolicyAim, Route,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Routes and policies by what they refer to, besides the Services they are attached to.
#[derive(Debug, Default)]
pub(super) struct References {
    routes: BTreeMap<ObjectId, Arc<Body>>,
    /// Policies by the route they target.
    policies: BTreeMap<ObjectId, BTreeMap<ObjectId, Arc<Body>>>,
    /// Routes and policies by the Service that gets requests because of them.
    senders: BTreeMap<ObjectName, BTreeMap<ObjectId, Arc<Body>>>,
}

impl References {
    /// Replaces a route or policy.
    pub(super) fn set(&mut self, id: &ObjectId, old: Option<&Arc<Body>>, new: Option<&Arc<Body>>) {
        if let Some(old) = old {
            self.routes.remove(id);
            for target in targeted_routes(id, old) {
                remove(&mut self.policies, &target, id);
            }
            for destination in destinations(old) {
                remove(&mut self.senders, &destination, id);
            }
        }
        let Some(new) = new else {
            return;
        };
        if matches!(**new, Body::Route(_)) {
            self.routes.insert(id.clone(), Arc::clone(new));
        }
        for target in targeted_routes(id, new) {
            let policies = self.policies.entry(target).or_default();
            policies.insert(id.clone(), Arc::clone(new));
        }
        for destination in destinations(new) {
            let senders = self.senders.entry(destination).or_default();
            senders.insert(id.clone(), Arc::clone(new));
        }
    }

    /// The Services whose routing an object is about: those a route is attached to, those a policy targets, itself or
    /// through a route.
    pub(super) fn touched_by(&self, id: &ObjectId, body: &Body) -> BTreeSet<ObjectName> {
        match body {
            Body::Route(route) => parents(route).cloned().collect(),
            Body::Policy(policy) => {
                let services = policy
                    .targets
                    .iter()
                    .filter_map(|t| t.service(&id.name.namespace));
                let routes = targeted_routes(id, body);
                let routes = routes.iter().filter_map(|route| self.route(route));
                services.chain(routes.flat_map(parents).cloned()).collect()
            }
            Body::Service(_) | Body::Slice(_) | Body::Node(_) => BTreeSet::new(),
        }
    }

    /// The Services whose routes or policies send requests to this one.
    pub(super) fn senders_to(&self, service: &ObjectName) -> BTreeSet<ObjectName> {
        let senders = self.senders.get(service).into_iter().flatten();
        senders
            .flat_map(|(id, body)| self.touched_by(id, body))
            .collect()
    }

    /// A route in force.
    pub(super) fn route(&self, id: &ObjectId) -> Option<&Route> {
        as_route(self.routes.get(id)?)
    }

    /// The policies for a route or its rules, in the order in which they win.
    pub(super) fn policies_of(&self, route: &ObjectId) -> Vec<policies::Named<'_>> {
        let policies = self.policies.get(route).into_iter().flatten();
        let named = policies.filter_map(|(id, body)| {
            let policy = as_policy(body)?;
            Some(policies::Named { id, policy })
        });
        let mut named: Vec<policies::Named<'_>> = named.collect();
        policies::sort(&mut named);
        named
    }

    /// Every route in force.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&ObjectId, &Route)> {
        let routes = self.routes.iter();
        routes.filter_map(|(id, body)| Some((id, as_route(body)?)))
    }

    /// Every policy that falls back to a Service, with that Service and its port.
    pub(super) fn fallbacks(&self) -> impl Iterator<Item = (&ObjectId, &ObjectName, u16)> {
        let senders = self.senders.values().flatten();
        senders.filter_map(|(id, body)| {
            let fallback = as_policy(body)?.call.fallback.as_ref()?;
            match &fallback.answer {
                FallbackAnswer::Backend(name, port) => Some((id, name, *port)),
                FallbackAnswer::Status(..) | FallbackAnswer::Message(_) => None,
            }
        })
    }

    /// Every route that a policy targets, whether it exists or not.
    pub(super) fn targeted(&self) -> impl Iterator<Item = &ObjectId> {
        self.policies.keys()
    }
}

fn remove<K: Ord, I: Ord>(index: &mut BTreeMap<K, BTreeMap<I, Arc<Body>>>, key: &K, item: &I) {
    if let Some(items) = index.get_mut(key) {
        items.remove(item);
        if items.is_empty() {
            index.remove(key);
        }
    }
}

/// What a body is, if it is a route.
pub(super) fn as_route(body: &Body) -> Option<&Route> {
    match body {
        Body::Route(route) => Some(route),
        Body::Service(_) | Body::Slice(_) | Body::Node(_) | Body::Policy(_) => None,
    }
}

/// What a body is, if it is a policy.
pub(super) fn as_policy(body: &Body) -> Option<&Policy> {
    match body {
        Body::Policy(policy) => Some(policy),
        Body::Service(_) | Body::Slice(_) | Body::Node(_) | Body::Route(_) => None,
    }
}

fn parents(route: &Route) -> impl Iterator<Item = &ObjectName> {
    route.parents.iter().map(|parent| &parent.service)
}

/// The routes a policy targets, in its own namespace.
fn targeted_routes(id: &ObjectId, body: &Body) -> BTreeSet<ObjectId> {
    let targets = as_policy(body)
        .into_iter()
        .flat_map(|policy| &policy.targets);
    let routes = targets.filter_map(|target| match &target.to {
        PolicyAim::Route(kind, name, _) => Some(ObjectId {
            kind: *kind,
            name: ObjectName {
                namespace: Arc::clone(&id.name.namespace),
                name: Arc::clone(name),
            },
        }),
        PolicyAim::Service(..) => None,
    });
    routes.collect()
}

/// The Services that get requests because of a route or policy.
pub(super) fn destinations(body: &Body) -> BTreeSet<ObjectName> {
    let mut names = BTreeSet::new();
    if let Some(route) = as_route(body) {
        let of_service = |to: &Destination| match to {
            Destination::Service(name, _) => Some(name.clone()),
            Destination::Nowhere(_) => None,
        };
        for rule in &route.rules {
            let shares = rule.backends.iter();
            names.extend(shares.clone().filter_map(|backend| of_service(&backend.to)));
            let filters = shares
                .map(|backend| &backend.filters)
                .chain([&rule.filters]);
            let mirrors = filters.flat_map(|filters| &filters.mirrors);
            names.extend(mirrors.filter_map(|mirror| of_service(&mirror.to)));
        }
    }
    let fallback = as_policy(body).and_then(|policy| policy.call.fallback.as_ref());
    if let Some(FallbackAnswer::Backend(name, _)) = fallback.map(|fallback| &fallback.answer) {
        names.insert(name.clone());
    }
    names
}
