//! What is in force, as the admin server shows it.

use crate::api::{Endpoint, Family, Port, Problem, Routes, Service, Severity};
use crate::model::{self, AppProtocol, ObjectId, ObjectName};
use crate::plan::{Catalog, EndpointPlan, FamilyPlan, PortPlan, ServicePlan, Standing};
use crate::route::RouteTable;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

/// The plans in force at one moment. Shared with the reconcile thread: views are made where they are asked for, row
/// by row, so that a large answer neither holds that thread up nor takes memory twice.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    /// By name.
    pub(super) services: Vec<Arc<ServicePlan>>,
    pub(super) routes: Arc<RouteTable>,
    /// Routes and policies by the Service that they are about.
    pub(super) about: BTreeMap<ObjectName, BTreeSet<ObjectId>>,
}

impl Plans {
    /// What is in force by a catalog.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        Self {
            services: catalog.services().map(Arc::clone).collect(),
            routes: Arc::clone(catalog.routes()),
            about: catalog.about(),
        }
    }

    /// Number of services.
    #[must_use]
    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// Number of endpoints, each counted once per service port.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        let families = self.ports().flat_map(|(_, port)| &port.families);
        families.map(|family| family.endpoints.len()).sum()
    }

    /// The services, by name.
    pub fn services(&self) -> impl Iterator<Item = Service> {
        self.services.iter().map(|plan| service(plan))
    }

    /// Every endpoint, by service, port and address.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        self.ports().flat_map(|(plan, port)| {
            let of_port = port.families.iter().flat_map(|family| &family.endpoints);
            of_port.map(move |endpoint_plan| endpoint(plan, port, endpoint_plan))
        })
    }

    /// What is routed.
    #[must_use]
    pub fn routes(&self) -> Routes {
        Routes::from(&*self.routes)
    }

    pub(super) fn ports(&self) -> impl Iterator<Item = (&ServicePlan, &PortPlan)> {
        self.services
            .iter()
            .flat_map(|plan| plan.ports.iter().map(|port| (&**plan, port)))
    }
}

fn service(plan: &ServicePlan) -> Service {
    Service {
        name: plan.name.to_string(),
        ports: plan.ports.iter().map(port).collect(),
    }
}

/// How connections go that the proxy takes.
pub(super) const ROUTED: &str = "routed";
/// How all others go.
pub(super) const DIRECT: &str = "direct";

fn port(plan: &PortPlan) -> Port {
    let routing = &plan.routing;
    // Without a cluster IP there is nothing that could lead to the proxy.
    let mut families = plan.families.iter();
    let is_reached = families.any(|family| !family.cluster_ips.is_empty());
    let consumers = routing.consumer_namespaces.iter().filter(|_| is_reached);
    Port {
        port: plan.port,
        name: plan.name.as_deref().map(str::to_owned),
        protocol: plan.protocol.map(|protocol| name_of(protocol).to_owned()),
        path: if is_reached && routing.is_routed_for_all {
            ROUTED
        } else {
            DIRECT
        }
        .to_owned(),
        consumer_namespaces: consumers.map(|namespace| namespace.to_string()).collect(),
        affinity_timeout_seconds: plan.affinity_timeout_s.map(NonZeroU32::get),
        families: plan.families.iter().map(family).collect(),
    }
}

fn family(plan: &FamilyPlan) -> Family {
    let in_use = |endpoint: &&EndpointPlan| matches!(endpoint.standing, Standing::InUse { .. });
    Family {
        ipv6: plan.ipv6,
        cluster_ips: plan.cluster_ips.clone(),
        endpoints_in_use: plan.endpoints.iter().filter(in_use).count(),
        endpoints: plan.endpoints.len(),
    }
}

pub(super) fn endpoint(service: &ServicePlan, port: &PortPlan, plan: &EndpointPlan) -> Endpoint {
    let (state, weight) = match plan.standing {
        Standing::InUse { weight } => ("in use", weight),
        Standing::NotReady => ("not ready", 0),
        Standing::Terminating => ("terminating", 0),
        Standing::OtherLocality => ("other locality", 0),
    };
    Endpoint {
        service: service.name.to_string(),
        port: port.port,
        address: plan.address,
        workload: plan.workload.as_ref().map(ObjectName::to_string),
        pod: plan.pod.as_ref().map(ObjectName::to_string),
        node: plan.node.as_deref().map(str::to_owned),
        zone: plan.zone.as_deref().map(str::to_owned),
        state: state.to_owned(),
        ejected_seconds: None,
        weight,
    }
}

pub(super) const fn name_of(protocol: AppProtocol) -> &'static str {
    match protocol {
        AppProtocol::Grpc => "grpc",
        AppProtocol::H2c => "h2c",
        AppProtocol::Http2 => "http2",
        AppProtocol::Http => "http",
        AppProtocol::Wss => "wss",
        AppProtocol::Tcp => "tcp",
    }
}

impl From<&model::Problem> for Problem {
    fn from(problem: &model::Problem) -> Self {
        Self {
            severity: match problem.severity {
                model::Severity::Error => Severity::Error,
                model::Severity::Warning => Severity::Warning,
            },
            file: problem.file.display().to_string(),
            line: problem.line,
            object: problem.object.as_ref().map(ToString::to_string),
            path: problem.path.clone(),
            text: problem.to_string(),
        }
    }
}
