//! `mesh-agent services`

use super::table::{Column, Table};
use super::{AdminArgument, CommandError, OutputFormat, Verdict, client};
use crate::api::{Port, Service, Services};

pub(super) fn execute(admin: AdminArgument, output: OutputFormat) -> Result<Verdict, CommandError> {
    let services: Services = client::get(admin.admin, "/api/services")?;
    output.print(&services, |width| table(&services, width));
    Ok(Verdict::Fine)
}

fn table(services: &Services, width: Option<usize>) -> String {
    if services.services.is_empty() {
        return "no services in force\n".to_owned();
    }
    let mut table = Table::new(
        [
            Column::name("service"),
            Column::number("port"),
            Column::name("name"),
            Column::text("protocol"),
            Column::name("path"),
            Column::name("address"),
            Column::number("endpoints"),
            Column::number("affinity"),
        ],
        width,
    );
    for service in &services.services {
        for port in &service.ports {
            add_port(&mut table, service, port);
        }
    }
    table.to_string()
}

fn add_port(table: &mut Table<8>, service: &Service, port: &Port) {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for family in &port.families {
        table.row([
            service.name.clone(),
            port.port.to_string(),
            or_dash(&port.name),
            or_dash(&port.protocol),
            port.paths(),
            family.addresses(),
            format!("{} of {}", family.endpoints_in_use, family.endpoints),
            port.affinity_timeout_seconds
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::api::{Family, Port, Service, Services};

    #[test]
    fn one_line_per_port_and_address_family() {
        let family = |ipv6, cluster_ips: &[&str], endpoints_in_use| Family {
            ipv6,
            cluster_ips: cluster_ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            endpoints_in_use,
            endpoints: 3,
        };
        let port = |port, name: Option<&str>, families| Port {
            port,
            name: name.map(str::to_owned),
            protocol: name.map(str::to_owned),
            path: if port == 81 { "routed" } else { "direct" }.to_owned(),
            consumer_namespaces: name.map(|_| "lab".to_owned()).into_iter().collect(),
            affinity_timeout_seconds: name.map(|_| 10_800),
            families,
        };
        let services = Services {
            services: vec![Service {
                name: "shop/inventory".to_owned(),
                ports: vec![
                    port(
                        50_051,
                        Some("grpc"),
                        vec![
                            family(false, &["127.96.0.10"], 2),
                            family(true, &["fd00::10"], 0),
                        ],
                    ),
                    port(80, None, vec![family(false, &[], 1)]),
                    port(81, None, vec![family(false, &["127.96.0.11"], 1)]),
                ],
            }],
        };
        assert_eq!(
            format!("\n{}", table(&services, Some(100))),
            "
SERVICE          PORT  NAME  PROTOCOL  PATH                     ADDRESS      ENDPOINTS  AFFINITY
shop/inventory  50051  grpc  grpc      direct; routed from lab  127.96.0.10     2 of 3   10800 s
shop/inventory  50051  grpc  grpc      direct; routed from lab  fd00::10        0 of 3   10800 s
shop/inventory     80  -     -         direct                   headless        1 of 3         -
shop/inventory     81  -     -         routed                   127.96.0.11     1 of 3         -
"
        );
    }

    #[test]
    fn nothing_in_force_is_said() {
        assert_eq!(table(&Services::default(), None), "no services in force\n");
    }
}
