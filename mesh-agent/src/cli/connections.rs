//! `mesh-agent connections`

use super::table::{Column, Table};
use super::{AdminArgument, CommandError, OutputFormat, Verdict, client};
use crate::api::quantity::{bytes, duration};
use crate::api::{Connection, Connections};

pub(super) fn execute(admin: AdminArgument, output: OutputFormat) -> Result<Verdict, CommandError> {
    let connections: Connections = client::get(admin.admin, "/api/connections")?;
    output.print(&connections, |width| table(&connections, width));
    Ok(Verdict::Fine)
}

fn table(connections: &Connections, width: Option<usize>) -> String {
    if connections.total == 0 {
        return "no mesh connection is open\n".to_owned();
    }
    let mut table = Table::new(
        [
            Column::name("source"),
            Column::name("service"),
            Column::text("endpoint"),
            Column::name("state"),
            Column::number("age"),
            Column::number("rtt"),
            Column::number("sent"),
            Column::number("received"),
            Column::number("resent"),
        ],
        width,
    );
    for open in &connections.connections {
        table.row([
            open.source.clone(),
            open.service.clone(),
            endpoint(open),
            open.state.clone(),
            duration(open.age_seconds),
            duration(open.rtt_seconds),
            bytes(open.sent_bytes),
            bytes(open.received_bytes),
            open.retransmits.to_string(),
        ]);
    }
    let listed = connections.connections.len();
    if listed < connections.total {
        return format!(
            "{table}the first {listed} of {} connections\n",
            connections.total
        );
    }
    table.to_string()
}

/// Where a connection ends that the mesh's caller has made.
fn endpoint(open: &Connection) -> String {
    open.endpoint
        .map_or_else(|| "proxy".to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::api::{Connection, Connections};

    fn open() -> Connection {
        Connection {
            source: "shop/order".to_owned(),
            local: "10.1.0.4:40000".parse().unwrap(),
            requested: "10.96.0.10:50051".parse().unwrap(),
            path: "direct".to_owned(),
            endpoint: Some("10.1.0.5:8080".parse().unwrap()),
            service: "shop/inventory".to_owned(),
            workload: "shop/inventory-v2".to_owned(),
            state: "established".to_owned(),
            age_seconds: 75.0,
            rtt_seconds: 0.000_085,
            sent_bytes: 6_144,
            received_bytes: 12_582_912,
            retransmits: 0,
        }
    }

    #[test]
    fn figures_have_units_and_the_line_fits_100_columns() {
        let connections = Connections {
            total: 2,
            connections: vec![
                open(),
                Connection {
                    path: "routed".to_owned(),
                    endpoint: None,
                    ..open()
                },
            ],
        };
        assert_eq!(
            format!("\n{}", table(&connections, Some(100))),
            "
SOURCE      SERVICE         ENDPOINT       STATE          AGE    RTT     SENT  RECEIVED  RESENT
shop/order  shop/inventory  10.1.0.5:8080  established  1m15s  85 µs  6.0 KiB  12.0 MiB       0
shop/order  shop/inventory  proxy          established  1m15s  85 µs  6.0 KiB  12.0 MiB       0
"
        );
    }

    #[test]
    fn a_shortened_list_says_how_many_there_are() {
        let connections = Connections {
            total: 20_000,
            connections: vec![open()],
        };
        let text = table(&connections, None);
        assert!(
            text.ends_with("the first 1 of 20000 connections\n"),
            "{text}"
        );
    }
}
