//! What `status` prints.

use super::text;
use crate::api::{
    Configuration, Count, Map, Meter, MeteredDirections, Problem, Program, ProxyActivity, Severity,
    Status,
};

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
            verified_instructions: Some(5_752),
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
                is_per_cpu: false,
            },
            Map {
                name: "SOCKETS".to_owned(),
                entries: None,
                capacity: None,
                waiting: 0,
                full_total: 0,
                memory_bytes: 4_096,
                is_per_cpu: false,
            },
        ],
        meter: Meter {
            active: 2,
            rpcs: [("started", 14), ("completed", 12), ("lost", 0)]
                .map(|(name, count)| Count {
                    name: name.to_owned(),
                    count,
                })
                .into(),
            directions: [("full", 3, 2), ("partial", 0, 0), ("desync", 1, 0)]
                .map(|(state, request, response)| MeteredDirections {
                    state: state.to_owned(),
                    request,
                    response,
                })
                .into(),
            skipped: vec![Count {
                name: "opaque".to_owned(),
                count: 1,
            }],
        },
        proxy: ProxyActivity {
            connections: 3,
            requests: 1,
        },
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
meter    2 RPCs open; 14 started, 12 completed
         directions (request/response): 3/2 full, 1/0 desync
         not metered: 1 opaque
proxy    3 connections, 1 request under way

PROGRAM   ID  VERIFIED  ATTACHED TO
connect4  31      5752  /sys/fs/cgroup

MAP        ENTRIES  CAPACITY  FILL     MEMORY  WAS FULL
FRONTENDS       24      4096   0 %  384.0 KiB         0
SOCKETS          -         -     -    4.0 KiB         0
388.0 KiB of kernel memory in all, 388.0 KiB whatever the number of CPUs
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
