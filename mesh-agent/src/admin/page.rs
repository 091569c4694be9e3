//! The page for people: what `status`, `services`, `endpoints` and `connections` say, at one glance.

use super::agent::{Readers, Unavailable};
use super::live::Ejections;
use super::router::PATHS;
use crate::api::quantity::{bytes, count, duration};
use crate::api::{Connections, Family, Service, Status};
use crate::reconcile::Plans;
use std::fmt::{self, Display, Write as _};

/// The page reloads itself this often.
const REFRESH_SECONDS: u32 = 5;
/// Rows of the longest tables; the JSON has all.
const ROWS_MAX: usize = 200;

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 75rem; margin: 1.5rem auto; padding: 0 1rem }
h2 { margin: 1.6rem 0 .4rem; font-size: 1.1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884; vertical-align: top }
.n { text-align: right; font-variant-numeric: tabular-nums }
.bad { color: #c33; font-weight: 600 } .dim { opacity: .65 }
.scroll { overflow-x: auto }
";

/// Writes the page.
pub(super) async fn render(readers: &Readers) -> Result<String, Unavailable> {
    let status = readers.status().await?;
    let plans = readers.inquiries.plans().await?;
    let connections = readers.sampler.connections().await?;
    let mut page = String::new();
    let ejections = Ejections::of(&readers.live.now().destinations);
    write_page(&mut page, &status, &plans, &ejections, &connections)
        .map_err(|error| Unavailable::Format(error.to_string()))?;
    Ok(page)
}

fn write_page(
    page: &mut String,
    status: &Status,
    plans: &Plans,
    ejections: &Ejections,
    connections: &Connections,
) -> fmt::Result {
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n\
         <title>mesh on {node}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>mesh on {node}</h1>",
        node = Escaped(&status.node)
    )?;
    write_state(page, status)?;
    write_meter(page, status)?;
    write_services(page, plans)?;
    write_endpoints(page, plans, ejections)?;
    write_connections(page, connections)?;
    write_links(page)?;
    page.write_str("</body>\n</html>\n")
}

fn write_state(page: &mut String, status: &Status) -> fmt::Result {
    let configuration = &status.configuration;
    writeln!(
        page,
        "<p>version {}, up {}; configuration {}: generation {} seen, {} in the kernel</p>",
        Escaped(&status.version),
        duration(status.uptime_seconds as f64),
        Escaped(&configuration.source),
        configuration.generation_seen,
        configuration.generation_kernel,
    )?;
    let mut complaints: Vec<String> = status.not_ready.clone();
    complaints.extend(status.degraded.iter().map(|why| format!("degraded: {why}")));
    complaints.extend(status.full_maps().iter().map(|map| {
        format!(
            "map {} is full: {} times no room for one more",
            map.name, map.full_total
        )
    }));
    complaints.extend(
        configuration
            .apply_error
            .iter()
            .map(|error| format!("not applied: {error}")),
    );
    if configuration.errors + configuration.warnings > 0 {
        complaints.push(format!(
            "configuration: {}, {}, {} rejected",
            count(configuration.errors, "error"),
            count(configuration.warnings, "warning"),
            count(configuration.rejected, "object"),
        ));
    }
    complaints.extend(
        configuration
            .problems
            .iter()
            .map(|problem| format!("{}: {}", problem.severity, problem.text)),
    );
    if complaints.is_empty() {
        return page.write_str("<p>Everything is fine.</p>\n");
    }
    page.write_str("<ul>\n")?;
    for complaint in &complaints {
        writeln!(page, "<li class=\"bad\">{}</li>", Escaped(complaint))?;
    }
    page.write_str("</ul>\n")
}

/// How much of the traffic the meter understands, and what it takes.
fn write_meter(page: &mut String, status: &Status) -> fmt::Result {
    let meter = &status.meter;
    begin_table(
        page,
        &format!("Meter ({} RPCs open)", meter.active),
        &["connections that are"],
        &["requests", "responses"],
    )?;
    for directions in &meter.directions {
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Escaped(&directions.state),
            directions.request,
            directions.response,
        )?;
    }
    end_table(page, meter.directions.len(), "/api/status")?;
    let (_, fixed) = status.map_memory();
    write!(page, "<p>{} of kernel memory in maps", bytes(fixed))?;
    for map in &status.maps {
        if let (Some(entries @ 1..), Some(capacity)) = (map.entries, map.capacity) {
            write!(page, "; {} {entries} of {capacity}", Escaped(&map.name))?;
        }
    }
    page.write_str("</p>\n")
}

fn write_services(page: &mut String, plans: &Plans) -> fmt::Result {
    begin_table(
        page,
        &format!("Services ({})", plans.service_count()),
        &["service", "port", "protocol", "path", "address"],
        &["endpoints in use"],
    )?;
    for service in plans.services().take(ROWS_MAX) {
        write_service(page, &service)?;
    }
    end_table(page, plans.service_count(), "/api/services")
}

fn write_service(page: &mut String, service: &Service) -> fmt::Result {
    for port in &service.ports {
        for family in &port.families {
            let Family {
                endpoints_in_use,
                endpoints,
                ..
            } = family;
            let class = if *endpoints_in_use == 0 { "n bad" } else { "n" };
            writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
                 <td class=\"{class}\">{endpoints_in_use} of {endpoints}</td></tr>",
                Escaped(&service.name),
                port.port,
                Escaped(port.protocol.as_deref().unwrap_or("–")),
                Escaped(&port.paths()),
                Escaped(&family.addresses()),
            )?;
        }
    }
    Ok(())
}

fn write_endpoints(page: &mut String, plans: &Plans, ejections: &Ejections) -> fmt::Result {
    begin_table(
        page,
        &format!("Endpoints ({})", plans.endpoint_count()),
        &["service", "address", "workload", "zone", "state"],
        &["weight"],
    )?;
    for endpoint in plans.endpoints().take(ROWS_MAX) {
        let endpoint = ejections.mark(endpoint);
        let class = if endpoint.weight == 0 { "dim" } else { "" };
        writeln!(
            page,
            "<tr class=\"{class}\"><td>{}:{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"n\">{}</td></tr>",
            Escaped(&endpoint.service),
            endpoint.port,
            endpoint.address,
            Escaped(endpoint.workload.as_deref().unwrap_or("–")),
            Escaped(endpoint.zone.as_deref().unwrap_or("–")),
            Escaped(&endpoint.state_in_words()),
            endpoint.weight,
        )?;
    }
    end_table(page, plans.endpoint_count(), "/api/endpoints")
}

fn write_connections(page: &mut String, connections: &Connections) -> fmt::Result {
    begin_table(
        page,
        &format!("Open connections ({})", connections.total),
        &["source", "service", "endpoint", "state"],
        &["age", "RTT", "sent", "received", "retransmits"],
    )?;
    for open in connections.connections.iter().take(ROWS_MAX) {
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Escaped(&open.source),
            Escaped(&open.service),
            open.endpoint
                .map_or_else(|| "proxy".to_owned(), |address| address.to_string()),
            Escaped(&open.state),
            duration(open.age_seconds),
            duration(open.rtt_seconds),
            bytes(open.sent_bytes),
            bytes(open.received_bytes),
            open.retransmits,
        )?;
    }
    end_table(page, connections.total, "/api/connections")
}

fn write_links(page: &mut String) -> fmt::Result {
    page.write_str("<h2>More</h2>\n<ul>\n")?;
    for (path, what) in PATHS {
        writeln!(page, "<li><a href=\"{path}\">{path}</a> – {what}</li>")?;
    }
    page.write_str("</ul>\n")
}

fn begin_table(page: &mut String, title: &str, texts: &[&str], numbers: &[&str]) -> fmt::Result {
    write!(
        page,
        "<h2>{}</h2>\n<div class=\"scroll\"><table>\n<thead><tr>",
        Escaped(title)
    )?;
    for header in texts {
        write!(page, "<th>{}</th>", Escaped(header))?;
    }
    for header in numbers {
        write!(page, "<th class=\"n\">{}</th>", Escaped(header))?;
    }
    page.write_str("</tr></thead>\n<tbody>\n")
}

fn end_table(page: &mut String, rows: usize, all: &str) -> fmt::Result {
    page.write_str("</tbody></table></div>\n")?;
    if rows > ROWS_MAX {
        writeln!(
            page,
            "<p class=\"dim\">{} more in <a href=\"{all}\">{all}</a></p>",
            rows - ROWS_MAX
        )?;
    }
    Ok(())
}

/// Text that may hold anything, as HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
