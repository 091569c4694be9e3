//! Everything the manifests say, and the plans that follow from it; a change costs what it touches.

use super::check;
use super::claim::Claims;
use super::compile::{Facts, compile};
use super::declaration::{Declarations, Transition};
use super::order::order;
use super::references::References;
use super::routing::Routes;
use super::state::{ServiceState, as_service};
use super::topology::Topology;
use super::{ServiceChange, ServicePlan};
use crate::model::{Body, Kind, NodeIdentity, ObjectId, ObjectName, ParsedFile, Problem};
use crate::route::RouteTable;
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
    /// What is routed now; `None`: as before. While the changes are applied, [`RouteTable::with`] of both holds.
    pub routes: Option<Arc<RouteTable>>,
    /// The generation of the configuration, this batch included.
    pub generation: u64,
}

/// Everything the manifests say, and the plans that follow from it.
#[derive(Debug)]
pub struct Catalog {
    declarations: Declarations,
    services: BTreeMap<ObjectName, ServiceState>,
    claims: Claims,
    references: References,
    routes: Routes,
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
            references: References::default(),
            routes: Routes::default(),
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
        for name in &touched {
            if let Some(change) = self.recompile(name) {
                self.count(change.old.as_deref(), change.new.as_deref());
                changes.push(change);
            }
        }
        let is_other = self
            .routes
            .refresh(&touched, &self.services, &self.references);
        Update {
            changes: order(changes),
            routes: is_other.then(|| Arc::clone(self.routes.table())),
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
            Kind::EndpointSlice => {
                for (body, is_new) in [(old, false), (new, true)] {
                    if let Some((service, body)) = body.as_ref().and_then(|b| owner(&id.name, b)) {
                        let slices = &mut self.state(&service).slices;
                        slices.remove(&id.name.name);
                        if is_new {
                            slices.insert(Arc::clone(&id.name.name), body);
                        }
                        touched.insert(service);
                    }
                }
            }
            Kind::MeshPolicy | Kind::BackendTrafficPolicy | Kind::GrpcRoute | Kind::HttpRoute => {
                self.refer(id, old.as_ref(), false, touched);
                self.references.set(id, old.as_ref(), new.as_ref());
                self.refer(id, new.as_ref(), true, touched);
            }
            Kind::Node => {
                let node = match new.as_deref() {
                    Some(Body::Node(node)) => Some(node.clone()),
                    Some(Body::Service(_) | Body::Slice(_) | Body::Policy(_) | Body::Route(_))
                    | None => None,
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

    /// Adds a route or policy to the Services it is about, or takes it out, and notes them.
    fn refer(
        &mut self,
        id: &ObjectId,
        body: Option<&Arc<Body>>,
        is_new: bool,
        touched: &mut BTreeSet<ObjectName>,
    ) {
        let Some(body) = body else {
            return;
        };
        for service in direct(id, body) {
            let state = self.state(&service);
            let members = match &**body {
                Body::Policy(_) => &mut state.policies,
                Body::Service(_) | Body::Slice(_) | Body::Node(_) | Body::Route(_) => {
                    &mut state.routes
                }
            };
            if is_new {
                members.insert(id.clone(), Arc::clone(body));
            } else {
                members.remove(id);
            }
        }
        touched.extend(self.references.touched_by(id, body));
    }

    /// Compiles a Service anew; `None` if its plan stays as it is.
    fn recompile(&mut self, name: &ObjectName) -> Option<ServiceChange> {
        let state = self.services.get_mut(name)?;
        let new = state.service().map(|service| {
            Arc::new(compile(&Facts {
                name,
                service,
                slices: state.slices().map(|(_, slice)| slice).collect(),
                policies: state.policies(),
                routes: state.routes(),
                lost: self
                    .claims
                    .lost(name, service)
                    .map(|(frontend, _)| frontend)
                    .collect(),
                topology: &self.topology,
            }))
        });
        if new == state.plan {
            if state.is_empty() {
                self.services.remove(name);
            }
            return None;
        }
        let old = std::mem::replace(&mut state.plan, new.clone());
        if state.is_empty() {
            self.services.remove(name);
        }
        Some(ServiceChange {
            name: name.clone(),
            old,
            new,
        })
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

    /// What is routed.
    #[must_use]
    pub const fn routes(&self) -> &Arc<RouteTable> {
        self.routes.table()
    }

    /// Routes and policies, in force or kept out by others, by the Service that they are about.
    #[must_use]
    pub fn about(&self) -> BTreeMap<ObjectName, BTreeSet<ObjectId>> {
        let concerned = self
            .services
            .iter()
            .filter(|(_, state)| !state.routes.is_empty() || !state.policies.is_empty());
        let about = concerned.map(|(name, state)| {
            let routes = state.routes.keys();
            let of_routes = routes.clone().flat_map(|route| {
                let policies = self.references.policies_of(route).into_iter();
                policies.map(|named| named.id)
            });
            let all = routes.chain(state.policies.keys()).chain(of_routes);
            (name.clone(), all.cloned().collect())
        });
        about.collect()
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
    pub(super) const fn states(&self) -> &BTreeMap<ObjectName, ServiceState> {
        &self.services
    }

    /// Who refers to whom.
    pub(super) const fn references(&self) -> &References {
        &self.references
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

/// The Service that a slice belongs to, and the slice.
fn owner(name: &ObjectName, body: &Arc<Body>) -> Option<(ObjectName, Arc<Body>)> {
    match &**body {
        Body::Slice(slice) if !slice.service.is_empty() => {
            let service = ObjectName {
                namespace: Arc::clone(&name.namespace),
                name: Arc::clone(&slice.service),
            };
            Some((service, Arc::clone(body)))
        }
        Body::Slice(_) | Body::Service(_) | Body::Node(_) | Body::Policy(_) | Body::Route(_) => {
            None
        }
    }
}

/// The Services that a route or policy names as what it is about.
fn direct(id: &ObjectId, body: &Body) -> BTreeSet<ObjectName> {
    match body {
        Body::Policy(policy) => {
            let targets = policy.targets.iter();
            targets
                .filter_map(|target| target.service(&id.name.namespace))
                .collect()
        }
        Body::Route(route) => {
            let parents = route.parents.iter();
            parents.map(|parent| parent.service.clone()).collect()
        }
        Body::Service(_) | Body::Slice(_) | Body::Node(_) => BTreeSet::new(),
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
