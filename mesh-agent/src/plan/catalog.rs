//! Everything the manifests say, and the plans that follow from it; a change costs what it touches.

use super::check;
use super::claim::Claims;
use super::compile::{Facts, compile};
use super::declaration::{Declarations, Transition};
use super::order::order;
use super::topology::Topology;
use super::{ServiceChange, ServicePlan};
use crate::model::{
    Body, Kind, NodeIdentity, ObjectId, ObjectName, ParsedFile, Policy, Problem, Service, Slice,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// How much the kernel's maps can hold. Beyond it objects are still planned, but reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Service ports, counted once per address family.
    pub services: usize,
    /// Endpoints, counted once per service port.
    pub endpoints: usize,
}

/// What a batch of changed files comes to.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Changes of Services, in the order in which they are to be applied.
    pub changes: Vec<ServiceChange>,
    /// The generation of the configuration, this batch included.
    pub generation: u64,
}

/// Everything that concerns one Service, whether or not it exists itself.
#[derive(Debug, Default)]
pub(super) struct ServiceState {
    /// The Service.
    pub(super) service: Option<Arc<Body>>,
    /// Its slices by name.
    pub(super) slices: BTreeMap<Arc<str>, Arc<Body>>,
    /// The policies that target it, by name.
    pub(super) policies: BTreeMap<Arc<str>, Arc<Body>>,
    /// What follows from them.
    plan: Option<Arc<ServicePlan>>,
}

impl ServiceState {
    fn is_empty(&self) -> bool {
        self.service.is_none() && self.slices.is_empty() && self.policies.is_empty()
    }

    /// The Service, if there is one.
    pub(super) fn service(&self) -> Option<&Service> {
        as_service(self.service.as_ref())
    }

    /// Its slices in the order of their names.
    pub(super) fn slices(&self) -> impl Iterator<Item = (&Arc<str>, &Slice)> {
        self.slices.iter().filter_map(|(name, body)| match &**body {
            Body::Slice(slice) => Some((name, slice)),
            Body::Service(_) | Body::Node(_) | Body::Policy(_) => None,
        })
    }

    /// The policies that target it: the older, then the one whose name comes first, wins.
    pub(super) fn policies(&self) -> Vec<(&Arc<str>, &Policy)> {
        let policies = self
            .policies
            .iter()
            .filter_map(|(name, body)| match &**body {
                Body::Policy(policy) => Some((name, policy)),
                Body::Service(_) | Body::Node(_) | Body::Slice(_) => None,
            });
        let mut policies: Vec<_> = policies.collect();
        policies.sort_by_key(|(_, policy)| policy.created_s.unwrap_or(i64::MAX));
        policies
    }
}

/// Everything the manifests say, and the plans that follow from it.
#[derive(Debug)]
pub struct Catalog {
    declarations: Declarations,
    services: BTreeMap<ObjectName, ServiceState>,
    claims: Claims,
    topology: Topology,
    capacity: Option<Capacity>,
    used: Capacity,
    generation: u64,
}

impl Catalog {
    /// An empty catalog, seen from `node`.
    #[must_use]
    pub fn new(node: NodeIdentity) -> Self {
        Self {
            declarations: Declarations::default(),
            services: BTreeMap::new(),
            claims: Claims::default(),
            topology: Topology::new(node),
            capacity: None,
            used: Capacity {
                services: 0,
                endpoints: 0,
            },
            generation: 0,
        }
    }

    /// Reports what exceeds `capacity`.
    #[must_use]
    pub fn with_capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Replaces one file; `None`: it is gone.
    pub fn set_file(&mut self, path: &Path, parsed: Option<ParsedFile>) -> Update {
        self.set_files(vec![(path.into(), parsed)])
    }

    /// Replaces several files as one change.
    pub fn set_files(&mut self, files: Vec<(Arc<Path>, Option<ParsedFile>)>) -> Update {
        self.generation += 1;
        let mut touched = BTreeSet::new();
        for transition in self.declarations.set_files(files) {
            self.index(&transition, &mut touched);
        }
        let mut changes = Vec::new();
        for name in touched {
            if let Some(change) = self.recompile(name) {
                self.count(change.old.as_deref(), change.new.as_deref());
                changes.push(change);
            }
        }
        Update {
            changes: order(changes),
            generation: self.generation,
        }
    }

    /// Takes an object's change into the indexes and notes the Services it touches.
    fn index(&mut self, transition: &Transition, touched: &mut BTreeSet<ObjectName>) {
        let Transition { id, old, new } = transition;
        match id.kind {
            Kind::Service => {
                let others =
                    self.claims
                        .set(&id.name, as_service(old.as_ref()), as_service(new.as_ref()));
                touched.extend(others);
                touched.insert(id.name.clone());
                self.state(&id.name).service.clone_from(new);
            }
            Kind::EndpointSlice | Kind::MeshPolicy => {
                for body in [old, new].into_iter().flatten() {
                    for service in referred(&id.name, body) {
                        self.members(id.kind, &service).remove(&id.name.name);
                        touched.insert(service);
                    }
                }
                if let Some(body) = new {
                    for service in referred(&id.name, body) {
                        let members = self.members(id.kind, &service);
                        members.insert(Arc::clone(&id.name.name), Arc::clone(body));
                    }
                }
            }
            Kind::Node => {
                let node = match new.as_deref() {
                    Some(Body::Node(node)) => Some(node.clone()),
                    Some(Body::Service(_) | Body::Slice(_) | Body::Policy(_)) | None => None,
                };
                if self.topology.set_node(&id.name.name, node) {
                    touched.extend(self.services.keys().cloned());
                }
            }
        }
    }

    fn state(&mut self, name: &ObjectName) -> &mut ServiceState {
        self.services.entry(name.clone()).or_default()
    }

    fn members(&mut self, kind: Kind, service: &ObjectName) -> &mut BTreeMap<Arc<str>, Arc<Body>> {
        let state = self.state(service);
        match kind {
            Kind::MeshPolicy => &mut state.policies,
            Kind::EndpointSlice | Kind::Service | Kind::Node => &mut state.slices,
        }
    }

    /// Compiles a Service anew; `None` if its plan stays as it is.
    fn recompile(&mut self, name: ObjectName) -> Option<ServiceChange> {
        let state = self.services.get_mut(&name)?;
        let new = state.service().map(|service| {
            let policies = state.policies().into_iter();
            Arc::new(compile(&Facts {
                name: &name,
                service,
                slices: state.slices().map(|(_, slice)| slice).collect(),
                policies: policies.map(|(_, policy)| policy).collect(),
                lost: self
                    .claims
                    .lost(&name, service)
                    .map(|(frontend, _)| frontend)
                    .collect(),
                topology: &self.topology,
            }))
        });
        if new == state.plan {
            if state.is_empty() {
                self.services.remove(&name);
            }
            return None;
        }
        let old = std::mem::replace(&mut state.plan, new.clone());
        if state.is_empty() {
            self.services.remove(&name);
        }
        Some(ServiceChange { name, old, new })
    }

    fn count(&mut self, old: Option<&ServicePlan>, new: Option<&ServicePlan>) {
        let (before, after) = (usage(old), usage(new));
        self.used.services = self.used.services + after.services - before.services;
        self.used.endpoints = self.used.endpoints + after.endpoints - before.endpoints;
    }

    /// The plans in force, by name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServicePlan>> {
        self.services
            .values()
            .filter_map(|state| state.plan.as_ref())
    }

    /// The plan of one Service.
    #[must_use]
    pub fn service(&self, name: &ObjectName) -> Option<&Arc<ServicePlan>> {
        self.services.get(name)?.plan.as_ref()
    }

    /// Everything wrong at the moment, in config order. Costs time in proportion to the whole configuration.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.declarations.problems().cloned().collect();
        check::check_across_files(self, &mut problems);
        problems.sort_by(|a, b| (&a.file, a.line, &a.path).cmp(&(&b.file, b.line, &b.path)));
        problems
    }

    /// Objects that are not in force as written; their last good versions are, where there are any.
    #[must_use]
    pub fn rejected(&self) -> usize {
        self.declarations.rejected()
    }

    /// Number of batches taken in.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What the plans in force need of the kernel's maps.
    #[must_use]
    pub const fn used(&self) -> Capacity {
        self.used
    }

    /// What the maps can hold, if known.
    pub(super) const fn capacity(&self) -> Option<Capacity> {
        self.capacity
    }

    /// Every Service that exists or is referred to.
    pub(super) fn states(&self) -> impl Iterator<Item = (&ObjectName, &ServiceState)> {
        self.services.iter()
    }

    /// Which files declare what.
    pub(super) const fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    /// Who owns which cluster IP.
    pub(super) const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Where an object in force stands.
    pub(super) fn place(&self, kind: Kind, name: &ObjectName) -> Option<(&Arc<Path>, u32)> {
        let id = ObjectId {
            kind,
            name: name.clone(),
        };
        let winner = self.declarations.winner(&id)?;
        Some((&winner.file, winner.line))
    }
}

fn as_service(body: Option<&Arc<Body>>) -> Option<&Service> {
    match &**body? {
        Body::Service(service) => Some(service),
        Body::Slice(_) | Body::Node(_) | Body::Policy(_) => None,
    }
}

/// The Services that a slice or policy refers to.
fn referred(name: &ObjectName, body: &Body) -> BTreeSet<ObjectName> {
    let service = |service: &Arc<str>| ObjectName {
        namespace: Arc::clone(&name.namespace),
        name: Arc::clone(service),
    };
    match body {
        Body::Slice(slice) if slice.service.is_empty() => BTreeSet::new(),
        Body::Slice(slice) => BTreeSet::from([service(&slice.service)]),
        Body::Policy(policy) => policy.targets.iter().map(|t| service(&t.service)).collect(),
        Body::Service(_) | Body::Node(_) => BTreeSet::new(),
    }
}

fn usage(plan: Option<&ServicePlan>) -> Capacity {
    let families = || {
        plan.into_iter()
            .flat_map(|p| &p.ports)
            .flat_map(|p| &p.families)
    };
    Capacity {
        services: families().count(),
        endpoints: families().map(|family| family.endpoints.len()).sum(),
    }
}
