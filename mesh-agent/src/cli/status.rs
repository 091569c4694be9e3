//! `mesh-agent status`

use super::table::{Column, Table};
use super::{AdminArgument, CommandError, OutputFormat, Verdict, client};
use crate::api::quantity::{bytes, count, duration};
use crate::api::{Configuration, Map, Status};
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

fn write_programs(text: &mut String, status: &Status, width: Option<usize>) -> fmt::Result {
    let mut programs = Table::new(
        [
            Column::text("program"),
            Column::number("id"),
            Column::name("attached to"),
        ],
        width,
    );
    for program in &status.programs {
        let attached = program.attached_to.clone();
        programs.row([
            program.name.clone(),
            program.id.to_string(),
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
    let total = status.maps.iter().map(|map| map.memory_bytes).sum();
    writeln!(text, "{} of kernel memory in all", bytes(total))?;
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
mod tests {
    use super::text;
    use crate::api::{Configuration, Map, Problem, Program, Severity, Status};

    fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            pid: 4_711,
            uptime_seconds: 7_500,
            node: "node-1".to_owned(),
            not_ready: vec![],
            degraded: vec![],
            cgroup: "/sys/fs/cgroup".to_owned(),
            pins: "/sys/fs/bpf/mesh/v1".to_owned(),
            programs: vec![Program {
                name: "connect4".to_owned(),
                id: 31,
                attached_to: Some("/sys/fs/cgroup".to_owned()),
            }],
            maps: vec![
                Map {
                    name: "FRONTENDS".to_owned(),
                    entries: Some(24),
                    capacity: Some(4_096),
                    waiting: 0,
                    full_total: 0,
                    memory_bytes: 393_216,
                },
                Map {
                    name: "SOCKETS".to_owned(),
                    entries: None,
                    capacity: None,
                    waiting: 0,
                    full_total: 0,
                    memory_bytes: 4_096,
                },
            ],
            configuration: Configuration {
                source: "/etc/mesh".to_owned(),
                generation_seen: 7,
                generation_kernel: 7,
                services: 12,
                endpoints: 30,
                ..Configuration::default()
            },
        }
    }

    #[test]
    fn a_healthy_agent_in_one_screen() {
        assert!(status().is_fine());
        assert_eq!(
            format!("\n{}", text(&status(), Some(100))),
            "
mesh-agent 0.1.0, process 4711, up 2h05m
state    ready
level    full function
node     node-1
cgroup   /sys/fs/cgroup
pins     /sys/fs/bpf/mesh/v1
config   /etc/mesh
         generation 7 seen, 7 in the kernel; 12 services, 30 endpoints
         0 errors, 0 warnings, 0 objects rejected

PROGRAM   ID  ATTACHED TO
connect4  31  /sys/fs/cgroup

MAP        ENTRIES  CAPACITY  FILL     MEMORY  WAS FULL
FRONTENDS       24      4096   0 %  384.0 KiB         0
SOCKETS          -         -     -    4.0 KiB         0
388.0 KiB of kernel memory in all
"
        );
    }

    #[test]
    fn a_map_that_has_no_room_is_named_with_what_to_do() {
        let mut at_capacity = status();
        at_capacity.maps[0].entries = at_capacity.maps[0].capacity;
        let mut waited_for = status();
        waited_for.maps[0].waiting = 1;
        for mut status in [at_capacity, waited_for] {
            status.maps[0].full_total = 3;
            assert!(!status.is_fine());
            let text = text(&status, Some(100));
            assert!(
                text.contains(
                    "map FRONTENDS is FULL: 3 times it had no room for one more; what is in it keeps working; \
                     raise --service-capacity"
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn a_map_that_was_full_once_is_fine_again_and_a_fixed_array_is_never_full() {
        let mut status = status();
        status.maps[0].full_total = 3;
        status.maps[1].entries = Some(13);
        assert!(status.is_fine());
        let text = text(&status, Some(100));
        assert!(text.contains("4096    0 %  384.0 KiB         3"), "{text}");
        assert!(
            text.contains("SOCKETS         13         -  fixed"),
            "{text}"
        );
    }

    #[test]
    fn the_first_problems_are_shown_with_their_total() {
        let mut status = status();
        status.configuration.rejected = 1;
        status.configuration.errors = 2;
        status.configuration.warnings = 10;
        status.configuration.problems = vec![Problem {
            severity: Severity::Error,
            file: "shop.yaml".to_owned(),
            line: 3,
            object: None,
            path: String::new(),
            text: "shop.yaml:3: spec.ports[0].port: not a port (found 0); 1 to 65535".to_owned(),
        }];
        assert!(!status.is_fine());
        let text = text(&status, Some(100));
        assert!(
            text.ends_with(
                "problems (the first 1 of 12):\n  error: shop.yaml:3: spec.ports[0].port: not a port \
                 (found 0); 1 to 65535\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_right_stands_in_capitals() {
        let mut status = status();
        status.not_ready = vec!["the programs are not attached and pinned yet".to_owned()];
        status.degraded = vec!["no BTF".to_owned()];
        status.programs[0].attached_to = None;
        assert!(!status.is_fine());
        let text = text(&status, None);
        for part in [
            "NOT READY: the programs",
            "DEGRADED: no BTF",
            "NOT ATTACHED",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
