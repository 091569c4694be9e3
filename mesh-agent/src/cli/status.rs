//! `mesh-agent status`

use super::table::{Column, Table};
use super::{AdminArgument, CommandError, OutputFormat, Verdict, client};
use crate::api::quantity::{bytes, count, duration};
use crate::api::{Configuration, Count, Map, Meter, ProxyActivity, Status};
use mesh_common::names;
use std::fmt::{self, Write as _};

pub(super) fn execute(admin: AdminArgument, output: OutputFormat) -> Result<Verdict, CommandError> {
    let status: Status = client::get(admin.admin, "/api/status")?;
    output.print(&status, |width| text(&status, width));
    Ok(if status.is_fine() {
        Verdict::Fine
    } else {
        Verdict::SomethingWrong
    })
}

fn text(status: &Status, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    write_text(&mut text, status, width).ok();
    text
}

fn write_text(text: &mut String, status: &Status, width: Option<usize>) -> fmt::Result {
    let state = match status.not_ready.as_slice() {
        [] => "ready".to_owned(),
        reasons => format!("NOT READY: {}", reasons.join("; ")),
    };
    let level = match status.degraded.as_slice() {
        [] => "full function".to_owned(),
        reasons => format!("DEGRADED: {}", reasons.join("; ")),
    };
    let up = duration(
        u32::try_from(status.uptime_seconds)
            .unwrap_or(u32::MAX)
            .into(),
    );
    writeln!(
        text,
        "mesh-agent {}, process {}, up {up}",
        status.version, status.pid
    )?;
    writeln!(text, "state    {state}")?;
    writeln!(text, "level    {level}")?;
    writeln!(text, "node     {}", status.node)?;
    writeln!(text, "cgroup   {}", status.cgroup)?;
    writeln!(text, "pins     {}", status.pins)?;
    write_configuration(text, &status.configuration)?;
    write_meter(text, &status.meter)?;
    write_proxy(text, status.proxy)?;
    write_programs(text, status, width)?;
    write_maps(text, status, width)?;
    write_problems(text, &status.configuration)
}

fn write_configuration(text: &mut String, configuration: &Configuration) -> fmt::Result {
    let Configuration {
        source,
        generation_seen,
        generation_kernel,
        services,
        endpoints,
        rejected,
        errors,
        warnings,
        ..
    } = configuration;
    writeln!(text, "config   {source}")?;
    writeln!(
        text,
        "         generation {generation_seen} seen, {generation_kernel} in the kernel; {}, {}",
        count(*services, "service"),
        count(*endpoints, "endpoint"),
    )?;
    writeln!(
        text,
        "         {}, {}, {} rejected",
        count(*errors, "error"),
        count(*warnings, "warning"),
        count(*rejected, "object"),
    )
}

fn write_proxy(text: &mut String, proxy: ProxyActivity) -> fmt::Result {
    let of = |number: u64, what| count(usize::try_from(number).unwrap_or(usize::MAX), what);
    let connections = of(proxy.connections, "connection");
    writeln!(
        text,
        "proxy    {connections}, {} under way",
        of(proxy.requests, "request")
    )
}

fn write_meter(text: &mut String, meter: &Meter) -> fmt::Result {
    let open = usize::try_from(meter.active).unwrap_or(usize::MAX);
    let rpcs = counts(&meter.rpcs);
    let separator = if rpcs.is_empty() { "" } else { "; " };
    writeln!(
        text,
        "meter    {} open{separator}{rpcs}",
        count(open, "RPC")
    )?;
    let directions: Vec<_> = meter
        .directions
        .iter()
        .filter(|directions| directions.request + directions.response > 0)
        .map(|directions| {
            let (request, response) = (directions.request, directions.response);
            format!("{request}/{response} {}", directions.state)
        })
        .collect();
    if !directions.is_empty() {
        let directions = directions.join(", ");
        writeln!(text, "         directions (request/response): {directions}")?;
    }
    if !meter.skipped.is_empty() {
        writeln!(text, "         not metered: {}", counts(&meter.skipped))?;
    }
    Ok(())
}

/// The counts that are not zero.
fn counts(counts: &[Count]) -> String {
    let counts = counts.iter().filter(|count| count.count > 0);
    let counts: Vec<_> = counts
        .map(|count| format!("{} {}", count.count, count.name))
        .collect();
    counts.join(", ")
}

fn write_programs(text: &mut String, status: &Status, width: Option<usize>) -> fmt::Result {
    let mut programs = Table::new(
        [
            Column::text("program"),
            Column::number("id"),
            Column::number("verified"),
            Column::name("attached to"),
        ],
        width,
    );
    for program in &status.programs {
        let attached = program.attached_to.clone();
        programs.row([
            program.name.clone(),
            program.id.to_string(),
            program
                .verified_instructions
                .map_or_else(|| "-".to_owned(), |count| count.to_string()),
            attached.unwrap_or_else(|| "NOT ATTACHED".to_owned()),
        ]);
    }
    write!(text, "\n{programs}")
}

fn write_maps(text: &mut String, status: &Status, width: Option<usize>) -> fmt::Result {
    let mut maps = Table::new(
        [
            Column::text("map"),
            Column::number("entries"),
            Column::number("capacity"),
            Column::number("fill"),
            Column::number("memory"),
            Column::number("was full"),
        ],
        width,
    );
    let or_dash = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for map in &status.maps {
        maps.row([
            map.name.clone(),
            or_dash(map.entries),
            or_dash(map.capacity),
            fill(map),
            bytes(map.memory_bytes),
            map.full_total.to_string(),
        ]);
    }
    write!(text, "\n{maps}")?;
    let (all, fixed) = status.map_memory();
    writeln!(
        text,
        "{} of kernel memory in all, {} whatever the number of CPUs",
        bytes(all),
        bytes(fixed)
    )?;
    for map in status.full_maps() {
        writeln!(
            text,
            "\nmap {} is FULL: {} times it had no room for one more; what is in it keeps working; {}",
            map.name,
            map.full_total,
            remedy(&map.name)
        )?;
    }
    Ok(())
}

fn fill(map: &Map) -> String {
    match (map.entries, map.capacity) {
        (Some(entries), Some(capacity)) if capacity > 0 => {
            format!("{} %", entries.saturating_mul(100) / capacity)
        }
        _ if map.is_fixed() => "fixed".to_owned(),
        _ => "-".to_owned(),
    }
}

/// What gives a map more room.
fn remedy(map: &str) -> &'static str {
    match map {
        names::FRONTENDS | names::SERVICES => "raise --service-capacity and restart the agent",
        names::TABLE_ROWS
        | names::ENDPOINTS
        | names::ENDPOINT_ADDRESSES
        | names::WORKLOAD_ADDRESSES => "raise --endpoint-capacity and restart the agent",
        names::CONNECTIONS => "raise --connection-capacity and restart the agent",
        names::STREAMS => "raise --stream-capacity and restart the agent",
        names::RPCS => "raise --rpc-capacity and restart the agent",
        names::METHODS => "methods without room are counted as _OTHER",
        names::METER_CONNECTIONS | names::PAIRS | names::EARLY | names::HELD => {
            "what finds no room is not metered"
        }
        names::HOST_SOURCES | names::HOST_SOURCE_NEXT => {
            "raise --host-source-capacity and restart the agent"
        }
        names::NETNS_SOURCES => "raise --namespace-capacity and restart the agent",
        names::SOCKETS => "the kernel is short of memory for socket storage",
        names::AFFINITY => "more clients than its sets hold are chosen for without affinity",
        _ => "see the agent's log",
    }
}

fn write_problems(text: &mut String, configuration: &Configuration) -> fmt::Result {
    if let Some(error) = &configuration.apply_error {
        writeln!(text, "\nnot in the kernel: {error}")?;
    }
    let shown = configuration.problems.len();
    match configuration.errors + configuration.warnings {
        0 => return Ok(()),
        total if total > shown => writeln!(text, "\nproblems (the first {shown} of {total}):")?,
        _ => writeln!(text, "\nproblems:")?,
    }
    for problem in &configuration.problems {
        writeln!(text, "  {}: {}", problem.severity, problem.text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
