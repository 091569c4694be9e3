//! `mesh-agent endpoints [SERVICE]`

use super::table::{Column, Table};
use super::{AdminArgument, CommandError, OutputFormat, Verdict, client};
use crate::api::{Endpoint, Endpoints, Service, Services};
use std::convert::Infallible;
use std::str::FromStr;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only those of this Service: `name`, `namespace/name`, either with `:port`
    service: Option<ServiceSelector>,

    #[command(flatten)]
    admin: AdminArgument,
}

/// Selects services, and of these one port if it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServiceSelector {
    text: String,
    namespace: Option<String>,
    name: String,
    port: Option<u16>,
}

impl FromStr for ServiceSelector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (service, port) = match text.rsplit_once(':') {
            Some((service, port)) if port.parse::<u16>().is_ok() => (service, port.parse().ok()),
            _ => (text, None),
        };
        let (namespace, name) = match service.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, service),
        };
        Ok(Self {
            text: text.to_owned(),
            namespace,
            name: name.to_owned(),
            port,
        })
    }
}

impl ServiceSelector {
    fn names(&self, service: &str) -> bool {
        match (&self.namespace, service.split_once('/')) {
            (Some(namespace), Some((given, name))) => given == namespace && name == self.name,
            (None, Some((_, name))) => name == self.name,
            (_, None) => service == self.name,
        }
    }

    fn selects_port(&self, port: u16) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
    }

    fn selects_service(&self, service: &Service) -> bool {
        self.names(&service.name)
            && service
                .ports
                .iter()
                .any(|port| self.selects_port(port.port))
    }
}

pub(super) fn execute(
    arguments: &Arguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let admin = arguments.admin.admin;
    let mut endpoints: Endpoints = client::get(admin, "/api/endpoints")?;
    if let Some(selector) = &arguments.service {
        endpoints.endpoints.retain(|endpoint| {
            selector.names(&endpoint.service) && selector.selects_port(endpoint.port)
        });
        if endpoints.endpoints.is_empty() {
            let services: Services = client::get(admin, "/api/services")?;
            let known = services
                .services
                .iter()
                .any(|service| selector.selects_service(service));
            if !known {
                return Err(format!(
                    "no service {} is in force; `mesh-agent services` lists those that are, `mesh-agent status` \
                     what was rejected",
                    selector.text
                )
                .into());
            }
        }
    }
    output.print(&endpoints, |width| table(&endpoints, width));
    Ok(Verdict::Fine)
}

fn table(endpoints: &Endpoints, width: Option<usize>) -> String {
    if endpoints.endpoints.is_empty() {
        return "no endpoints\n".to_owned();
    }
    let mut table = Table::new(
        [
            Column::name("service"),
            Column::number("port"),
            Column::text("endpoint"),
            Column::name("workload"),
            Column::name("node"),
            Column::name("zone"),
            Column::text("state"),
            Column::number("weight"),
        ],
        width,
    );
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for endpoint in &endpoints.endpoints {
        let Endpoint {
            service,
            port,
            address,
            workload,
            node,
            zone,
            weight,
            ..
        } = endpoint;
        table.row([
            service.clone(),
            port.to_string(),
            address.to_string(),
            or_dash(workload),
            or_dash(node),
            or_dash(zone),
            endpoint.state_in_words(),
            weight.to_string(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::{ServiceSelector, table};
    use crate::api::{Endpoint, Endpoints};

    #[test]
    fn a_selector_means_a_name_with_namespace_and_port_if_given() {
        for (text, service, port, expected) in [
            ("inventory", "shop/inventory", 80, true),
            ("inventory", "lab/inventory", 80, true),
            ("shop/inventory", "lab/inventory", 80, false),
            ("shop/inventory", "shop/inventory", 80, true),
            ("shop/inventory:80", "shop/inventory", 80, true),
            ("shop/inventory:81", "shop/inventory", 80, false),
            ("inventory:81", "shop/inventory", 81, true),
            ("inv", "shop/inventory", 80, false),
            ("inventory:http", "shop/inventory", 80, false),
        ] {
            let selector: ServiceSelector = text.parse().unwrap();
            let selected = selector.names(service) && selector.selects_port(port);
            assert_eq!(selected, expected, "{text} on {service}:{port}");
        }
    }

    #[test]
    fn the_table_shows_why_an_endpoint_gets_nothing() {
        let endpoint = |address: &str, state: &str, weight| Endpoint {
            service: "shop/inventory".to_owned(),
            port: 50_051,
            address: address.parse().unwrap(),
            workload: Some("shop/inventory-v2".to_owned()),
            pod: None,
            node: Some("node-1".to_owned()),
            zone: None,
            state: state.to_owned(),
            ejected_seconds: (state == "ejected").then_some(28.0),
            weight,
        };
        let endpoints = Endpoints {
            endpoints: vec![
                endpoint("10.1.0.5:8080", "in use", 1),
                endpoint("10.1.0.6:8080", "ejected", 1),
                endpoint("10.1.0.16:8080", "not ready", 0),
            ],
        };
        assert_eq!(
            format!("\n{}", table(&endpoints, Some(100))),
            "
SERVICE          PORT  ENDPOINT        WORKLOAD           NODE    ZONE  STATE               WEIGHT
shop/inventory  50051  10.1.0.5:8080   shop/inventory-v2  node-1  -     in use                   1
shop/inventory  50051  10.1.0.6:8080   shop/inventory-v2  node-1  -     ejected for 28.0 s       1
shop/inventory  50051  10.1.0.16:8080  shop/inventory-v2  node-1  -     not ready                0
"
        );
    }
}
