//! Routed service ports, compiled to what the proxy looks up; a change costs what it touches.

use super::attachment::{Attachment, Named};
use super::policies::{Chain, Level};
use super::references::References;
use super::state::ServiceState;
use super::traffic::{apply_inline, backend_traffic, call_traffic};
use super::{FamilyPlan, PortPlan, Standing};
use crate::model::{
    Destination, FallbackAnswer, Kind, MirrorRef, ObjectId, ObjectName, RouteMatch, RouteRule,
    RuleName, ServicePort,
};
use crate::route::{
    Backend, BackendEndpoint, Mirror, RouteKind, RouteTable, RoutedPort, Rule, RuleSet, Share,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// Everything that is routed.
#[derive(Debug, Default)]
pub(super) struct Routes {
    table: Arc<RouteTable>,
    /// The addresses of each Service that are in the table.
    addresses: HashMap<ObjectName, Vec<SocketAddr>>,
    /// Backends that rules refer to, by Service.
    backends: Backends,
}

/// By port and by whether the endpoints are IPv6.
type Backends = HashMap<ObjectName, BTreeMap<(u16, bool), Arc<Backend>>>;

/// Where a reference leads, or why nowhere.
type Resolved = Result<Arc<Backend>, Arc<str>>;

impl Routes {
    /// The table in force.
    pub(super) const fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    /// Compiles anew what changes of these Services touch; says whether the table is another one now.
    pub(super) fn refresh(
        &mut self,
        changed: &BTreeSet<ObjectName>,
        services: &BTreeMap<ObjectName, ServiceState>,
        references: &References,
    ) -> bool {
        let mut stale = changed.clone();
        for name in changed {
            self.backends.remove(name);
            stale.extend(references.senders_to(name));
        }
        let is_routed = |name: &ObjectName| services.get(name).is_some_and(ServiceState::is_routed);
        stale.retain(|name| self.addresses.contains_key(name) || is_routed(name));
        if stale.is_empty() {
            return false;
        }
        // The copy costs a pointer for each routed address; what is compiled anew is what the change touches.
        let mut ports: HashMap<SocketAddr, Arc<RoutedPort>> = HashMap::new();
        ports.extend(self.table.ports().map(|(at, port)| (at, Arc::clone(port))));
        // All of the old first: an address may go from one Service to another.
        for name in &stale {
            for address in self.addresses.remove(name).into_iter().flatten() {
                ports.remove(&address);
            }
        }
        for name in stale {
            let mut compiler = Compiler {
                services,
                references,
                backends: &mut self.backends,
                is_ipv6: false,
            };
            let routed = compiler.routed_ports(&name);
            let addresses: Vec<SocketAddr> = routed.iter().map(|(at, _)| *at).collect();
            if !addresses.is_empty() {
                self.addresses.insert(name, addresses);
            }
            ports.extend(routed);
        }
        self.table = Arc::new(RouteTable::new(ports));
        true
    }
}

/// Finds out where a reference leads; used by the checks too.
pub(super) fn resolve(
    services: &BTreeMap<ObjectName, ServiceState>,
    name: &ObjectName,
    port: u16,
) -> Result<(), String> {
    let Some(plan) = services.get(name).and_then(ServiceState::plan) else {
        return Err(format!("there is no Service {name}"));
    };
    let Some(plan) = plan.ports.iter().find(|plan| plan.port == port) else {
        return Err(format!("Service {name} has no TCP port {port}"));
    };
    if !super::attachment::is_routable(plan.protocol) {
        return Err(format!(
            "port {port} of Service {name} does not speak HTTP/2 (UnsupportedProtocol)"
        ));
    }
    Ok(())
}

/// Compiles routed ports.
struct Compiler<'a> {
    services: &'a BTreeMap<ObjectName, ServiceState>,
    references: &'a References,
    backends: &'a mut Backends,
    /// The family that callers connect with: endpoints of that family are preferred.
    is_ipv6: bool,
}

impl<'a> Compiler<'a> {
    /// The routed ports of a Service, by the addresses that callers connect to.
    fn routed_ports(&mut self, name: &ObjectName) -> Vec<(SocketAddr, Arc<RoutedPort>)> {
        let Some((name, state)) = self.services.get_key_value(name) else {
            return Vec::new();
        };
        let (Some(service), Some(plan)) = (state.service(), state.plan()) else {
            return Vec::new();
        };
        let mut routed = Vec::new();
        for (port, plan) in service.ports.iter().zip(&plan.ports) {
            let families = plan.families.iter();
            for family in families.filter(|family| !family.cluster_ips.is_empty()) {
                if plan.routing.is_direct() {
                    continue;
                }
                self.is_ipv6 = family.ipv6;
                let compiled = Arc::new(self.routed_port(name, state, port, plan));
                let ips = family.cluster_ips.iter();
                routed
                    .extend(ips.map(|ip| (SocketAddr::new(*ip, port.port), Arc::clone(&compiled))));
            }
        }
        routed
    }

    fn routed_port(
        &mut self,
        name: &'a ObjectName,
        state: &'a ServiceState,
        port: &ServicePort,
        plan: &PortPlan,
    ) -> RoutedPort {
        let routes = state.routes();
        let attachment = Attachment::of(name, port, &routes);
        let mut policies = Chain::default();
        policies.push_service(&name.name, &port.name, &state.policies());
        let failure_mode = policies.find(|policy| policy.backend.is_closed_on_failure);
        let backend = self.backend(name, plan);
        let mut consumers = BTreeMap::new();
        let mut producer = None;
        for (namespace, routes) in attachment.scopes() {
            let rules = RuleSet::new(self.rules(routes, &policies));
            match namespace {
                Some(namespace) => {
                    consumers.insert(Arc::clone(namespace), rules);
                }
                None => producer = Some(rules),
            }
        }
        let producer = producer.unwrap_or_else(|| {
            let rule = self.passing_rule(name, &backend, &policies);
            RuleSet::new(vec![(Arc::from([]), Arc::new(rule))])
        });
        RoutedPort {
            service: name.clone(),
            port: port.port,
            protocol: port.protocol,
            is_closed_on_failure: plan.routing.is_closed_on_failure,
            failure_mode_set_by: failure_mode.map(|(named, _)| named.id.clone()),
            backend,
            producer,
            consumers,
        }
    }

    fn rules(
        &mut self,
        routes: &[Named<'a>],
        of_service: &Chain<'a>,
    ) -> Vec<(Arc<[RouteMatch]>, Arc<Rule>)> {
        let mut rules = Vec::new();
        for (id, route) in routes {
            let of_route = self.references.policies_of(id);
            for (index, rule) in route.rules.iter().enumerate() {
                let mut chain = Chain::default();
                if let Some(name) = &rule.name {
                    chain.push(Level::Route(id, Some(name)), &of_route);
                }
                chain.push(Level::Route(id, None), &of_route);
                chain.extend(of_service);
                let compiled = self.rule(id, index, rule, &chain);
                rules.push((Arc::clone(&rule.matches), Arc::new(compiled)));
            }
        }
        rules
    }

    fn rule(
        &mut self,
        route: &ObjectId,
        index: usize,
        rule: &RouteRule,
        policies: &Chain<'_>,
    ) -> Rule {
        let (mut traffic, mut set_by) = call_traffic(policies);
        apply_inline(rule, route, &mut traffic, &mut set_by);
        let mut backends = Vec::with_capacity(rule.backends.len());
        for backend in &rule.backends {
            backends.push(Share {
                to: self.destination(&backend.to),
                weight: backend.weight,
                request_headers: backend.filters.request_headers.clone(),
                response_headers: backend.filters.response_headers.clone(),
                mirrors: self.mirrors(&backend.filters.mirrors),
            });
        }
        Rule {
            name: RuleName {
                object: route.clone(),
                index,
                name: rule.name.clone(),
            },
            kind: match route.kind {
                Kind::HttpRoute => RouteKind::Http,
                Kind::GrpcRoute => RouteKind::Grpc,
                Kind::Service
                | Kind::EndpointSlice
                | Kind::Node
                | Kind::MeshPolicy
                | Kind::BackendTrafficPolicy => RouteKind::Service,
            },
            backends: backends.into(),
            request_headers: rule.filters.request_headers.clone(),
            response_headers: rule.filters.response_headers.clone(),
            mirrors: self.mirrors(&rule.filters.mirrors),
            fallback: self.fallback(traffic.fallback.as_ref().map(|fallback| &fallback.answer)),
            traffic,
            set_by,
        }
    }

    /// What holds without a route: everything goes to the Service itself.
    fn passing_rule(
        &mut self,
        service: &ObjectName,
        backend: &Arc<Backend>,
        policies: &Chain<'_>,
    ) -> Rule {
        let (traffic, set_by) = call_traffic(policies);
        Rule {
            name: RuleName {
                object: ObjectId {
                    kind: Kind::Service,
                    name: service.clone(),
                },
                index: 0,
                name: None,
            },
            kind: RouteKind::Service,
            backends: Box::new([Share {
                to: Ok(Arc::clone(backend)),
                weight: 1,
                request_headers: Default::default(),
                response_headers: Default::default(),
                mirrors: Box::default(),
            }]),
            request_headers: Default::default(),
            response_headers: Default::default(),
            mirrors: Box::default(),
            fallback: self.fallback(traffic.fallback.as_ref().map(|fallback| &fallback.answer)),
            traffic,
            set_by,
        }
    }

    fn mirrors(&mut self, mirrors: &[MirrorRef]) -> Box<[Mirror]> {
        let compiled = mirrors.iter().map(|mirror| Mirror {
            to: self.destination(&mirror.to),
            numerator: mirror.numerator,
            denominator: mirror.denominator,
        });
        compiled.collect()
    }

    fn fallback(&mut self, answer: Option<&FallbackAnswer>) -> Option<Resolved> {
        match answer? {
            FallbackAnswer::Backend(name, port) => Some(self.resolve(name, *port)),
            FallbackAnswer::Status(..) | FallbackAnswer::Message(_) => None,
        }
    }

    fn destination(&mut self, to: &Destination) -> Resolved {
        match to {
            Destination::Service(name, port) => self.resolve(name, *port),
            Destination::Nowhere(reason) => Err(Arc::clone(reason)),
        }
    }

    fn resolve(&mut self, name: &ObjectName, port: u16) -> Resolved {
        resolve(self.services, name, port)?;
        let plan = self.services.get(name).and_then(ServiceState::plan);
        let plan = plan.and_then(|plan| plan.ports.iter().find(|plan| plan.port == port));
        plan.map(|plan| self.backend(name, plan))
            .ok_or_else(|| format!("there is no Service {name}").into())
    }

    /// The backend of a port, made once for all that refer to it.
    fn backend(&mut self, name: &ObjectName, plan: &PortPlan) -> Arc<Backend> {
        let of_family = |is_ipv6: bool| {
            let mut families = plan.families.iter();
            families.find(|family| family.ipv6 == is_ipv6 && !family.endpoints.is_empty())
        };
        let family = of_family(self.is_ipv6).or_else(|| of_family(!self.is_ipv6));
        let is_ipv6 = family.map_or(self.is_ipv6, |family| family.ipv6);
        let key = (plan.port, is_ipv6);
        let known = self
            .backends
            .get(name)
            .and_then(|backends| backends.get(&key));
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let mut policies = Chain::default();
        if let Some(state) = self.services.get(name) {
            let port_name = plan.name.as_deref().unwrap_or_default();
            policies.push_service(&name.name, port_name, &state.policies());
        }
        let (traffic, set_by) = backend_traffic(&policies);
        let endpoints = family.into_iter().flat_map(backend_endpoints);
        let backend = Arc::new(Backend {
            name: name.clone(),
            port: plan.port,
            is_ipv6,
            endpoints: endpoints.collect(),
            traffic,
            set_by,
            affinity_timeout_s: plan.affinity_timeout_s,
        });
        let backends = self.backends.entry(name.clone()).or_default();
        backends.insert(key, Arc::clone(&backend));
        backend
    }
}

fn backend_endpoints(family: &FamilyPlan) -> impl Iterator<Item = BackendEndpoint> {
    let in_use = family
        .endpoints
        .iter()
        .filter_map(|plan| match plan.standing {
            Standing::InUse { weight } => Some((plan, weight)),
            Standing::NotReady | Standing::Terminating | Standing::OtherLocality => None,
        });
    in_use.map(|(plan, weight)| BackendEndpoint {
        address: plan.address,
        weight,
        workload: plan.workload.clone(),
        pod: plan.pod.clone(),
        node: plan.node.clone(),
        zone: plan.zone.clone(),
        is_terminating: family.selection.is_draining,
    })
}
