//! What is in force, as the admin server shows it.

use crate::api::{Endpoint, Endpoints, Family, Port, Problem, Service, Services, Severity};
use crate::model::{self, AppProtocol, ObjectName};
use crate::plan::{Catalog, EndpointPlan, FamilyPlan, PortPlan, ServicePlan, Standing};
use std::num::NonZeroU32;

/// The services in force.
pub(super) fn services(catalog: &Catalog) -> Services {
    Services {
        services: catalog.services().map(|plan| service(plan)).collect(),
    }
}

fn service(plan: &ServicePlan) -> Service {
    Service {
        name: plan.name.to_string(),
        ports: plan.ports.iter().map(port).collect(),
    }
}

fn port(plan: &PortPlan) -> Port {
    Port {
        port: plan.port,
        name: plan.name.as_deref().map(str::to_owned),
        protocol: plan.protocol.map(|protocol| name_of(protocol).to_owned()),
        path: "direct".to_owned(),
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

/// Every endpoint of the services in force.
pub(super) fn endpoints(catalog: &Catalog) -> Endpoints {
    let mut endpoints = vec![];
    for plan in catalog.services() {
        for port in &plan.ports {
            let of_port = port.families.iter().flat_map(|family| &family.endpoints);
            endpoints.extend(of_port.map(|plan_of| endpoint(plan, port, plan_of)));
        }
    }
    Endpoints { endpoints }
}

fn endpoint(service: &ServicePlan, port: &PortPlan, plan: &EndpointPlan) -> Endpoint {
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
        weight,
    }
}

const fn name_of(protocol: AppProtocol) -> &'static str {
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
