//! Holds the rooms of the agent to their layers: imports point down only, and pure rooms stay pure.

#![expect(
    clippy::unwrap_used,
    reason = "a source file that cannot be read is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a room may import, itself aside.
struct Room {
    name: &'static str,
    layer: u8,
    /// Rooms of this crate.
    rooms: &'static [&'static str],
    /// Text that must not stand in its code: I/O in pure rooms, other rooms' libraries.
    never: &'static [&'static str],
}

const PURE: &[&str] = &[
    "tokio::",
    "aya::",
    "hyper::",
    "notify::",
    "std::fs",
    "std::net::Tcp",
    "Instant::now",
    "SystemTime::now",
    "std::env",
];

const ROOMS: &[Room] = &[
    Room {
        name: "model",
        layer: 0,
        rooms: &[],
        never: PURE,
    },
    Room {
        name: "observe",
        layer: 0,
        rooms: &["grpc"],
        never: PURE,
    },
    Room {
        name: "api",
        layer: 0,
        rooms: &["model", "observe"],
        never: PURE,
    },
    Room {
        name: "lifecycle",
        layer: 0,
        rooms: &[],
        never: &["aya::", "hyper::"],
    },
    Room {
        name: "grpc",
        layer: 0,
        rooms: &[],
        never: PURE,
    },
    Room {
        name: "config",
        layer: 1,
        rooms: &["model"],
        never: PURE,
    },
    Room {
        name: "route",
        layer: 1,
        rooms: &["model"],
        never: PURE,
    },
    Room {
        name: "plan",
        layer: 1,
        rooms: &["model", "route"],
        never: PURE,
    },
    Room {
        name: "resilience",
        layer: 1,
        rooms: &["model", "grpc"],
        never: PURE,
    },
    Room {
        name: "balance",
        layer: 1,
        rooms: &["model", "grpc", "resilience"],
        never: PURE,
    },
    Room {
        name: "http2",
        layer: 1,
        rooms: &["grpc"],
        never: PURE,
    },
    Room {
        name: "source",
        layer: 2,
        rooms: &["model", "config", "lifecycle"],
        never: &["aya::", "hyper::"],
    },
    Room {
        name: "kernel",
        layer: 2,
        rooms: &["model", "observe", "lifecycle", "plan"],
        never: &["tokio::", "hyper::", "notify::"],
    },
    Room {
        name: "proxy",
        layer: 2,
        rooms: &[
            "model",
            "grpc",
            "observe",
            "lifecycle",
            "route",
            "resilience",
            "balance",
            "http2",
        ],
        never: &["aya::", "notify::", "hyper::", "tonic::"],
    },
    Room {
        name: "export",
        layer: 2,
        rooms: &["observe"],
        never: &["tokio::", "aya::", "hyper::"],
    },
    Room {
        name: "reconcile",
        layer: 3,
        rooms: &[
            "grpc",
            "model",
            "observe",
            "api",
            "lifecycle",
            "config",
            "route",
            "plan",
            "source",
            "kernel",
        ],
        never: &["aya::", "hyper::"],
    },
    Room {
        name: "sampler",
        layer: 3,
        rooms: &["observe", "api", "lifecycle"],
        never: &["aya::", "hyper::"],
    },
    Room {
        name: "tracer",
        layer: 3,
        rooms: &["observe", "api", "lifecycle", "export"],
        never: &["aya::", "hyper::"],
    },
    Room {
        name: "admin",
        layer: 3,
        rooms: &[
            "observe",
            "api",
            "lifecycle",
            "export",
            "reconcile",
            "sampler",
            "tracer",
        ],
        never: &["aya::"],
    },
    Room {
        name: "app",
        layer: 3,
        rooms: &[
            "proxy",
            "route",
            "model",
            "observe",
            "api",
            "lifecycle",
            "plan",
            "source",
            "kernel",
            "export",
            "reconcile",
            "sampler",
            "tracer",
            "admin",
        ],
        never: &["aya::", "hyper::"],
    },
    Room {
        name: "cli",
        layer: 3,
        rooms: &[
            "model",
            "api",
            "config",
            "plan",
            "source",
            "kernel",
            "reconcile",
            "app",
        ],
        never: &["aya::"],
    },
];

#[test]
fn every_room_imports_only_what_it_may() {
    let mut wrong = vec![];
    for (room, files) in files_by_room() {
        let allowed = &known(&room).rooms;
        for file in files {
            for (line, imported) in imports(&code(&file)) {
                if imported != room && !allowed.contains(&imported.as_str()) {
                    wrong.push(format!(
                        "{}:{line}: {room} imports {imported}",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_do_no_input_or_output() {
    let mut wrong = vec![];
    for (room, files) in files_by_room() {
        for file in files {
            for (index, line) in code(&file).lines().enumerate() {
                for forbidden in known(&room)
                    .never
                    .iter()
                    .filter(|text| line.contains(*text))
                {
                    let line = index + 1;
                    wrong.push(format!(
                        "{}:{line}: {room} uses {forbidden}",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_the_wire_knows_http2() {
    let mut wrong = vec![];
    for (room, files) in files_by_room() {
        for file in files {
            let is_wire = room == "proxy"
                && file
                    .components()
                    .any(|part| Path::new(part.as_os_str()).file_stem() == Some("wire".as_ref()));
            let uses = |line: &str| line.contains("crate::http2");
            let is_own = room == "http2";
            if !is_wire && !is_own && code(&file).lines().any(uses) {
                wrong.push(file);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_table_itself_points_down_or_sideways_without_a_circle() {
    for room in ROOMS {
        for imported in room.rooms {
            let lower = known(imported);
            assert!(lower.layer <= room.layer, "{} -> {imported}", room.name);
            assert!(
                !reaches(lower, room.name, &mut BTreeSet::new()),
                "{} and {imported} import each other",
                room.name
            );
        }
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::plan::Catalog;\nuse crate::{model::{self, A}, kernel};\n\
                let x = crate::source::Batch;\n// crate::admin\nuse my_crate::other;\n";
    let found: Vec<String> = imports(&without_comments(text))
        .into_iter()
        .map(|(_, room)| room)
        .collect();
    assert_eq!(found, ["plan", "model", "kernel", "source"]);
}

fn known(name: &str) -> &'static Room {
    ROOMS
        .iter()
        .find(|room| room.name == name)
        .unwrap_or_else(|| panic!("room {name} is not in the table of tests/layering.rs"))
}

fn reaches(from: &Room, target: &str, seen: &mut BTreeSet<&'static str>) -> bool {
    from.rooms
        .iter()
        .any(|room| *room == target || (seen.insert(room) && reaches(known(room), target, seen)))
}

/// Every source file but the crate's own roots and the tests, which may look at anything.
fn files_by_room() -> BTreeMap<String, Vec<PathBuf>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    collect(&source, &mut files);
    let mut by_room: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let inner = file.strip_prefix(&source).unwrap();
        let first = inner.components().next().unwrap().as_os_str();
        let room = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        let is_test = inner.components().any(|part| part.as_os_str() == "tests")
            || inner.file_name().unwrap() == "tests.rs";
        if !is_test && room != "lib" && room != "main" {
            by_room.entry(room).or_default().push(file);
        }
    }
    by_room
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A file's code: no comments, nothing from its own tests on.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    without_comments(before_tests)
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with("//") {
            ""
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms that `crate::…` paths begin with, and the line each stands in.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    for (position, _) in code.match_indices("crate::") {
        let before = code[..position].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let line = code[..position].matches('\n').count() + 1;
        let rest = &code[position + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => first_names(group),
            None => vec![identifier(rest)],
        };
        found.extend(names.into_iter().map(|name| (line, name)));
    }
    found
}

/// The first identifier of every item of `a::b, c::{d, e}}`.
fn first_names(group: &str) -> Vec<String> {
    let mut names = vec![];
    let mut depth = 0;
    let mut at_start = true;
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            other if depth == 0 && at_start && !other.is_whitespace() => {
                names.push(identifier(&group[index..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
