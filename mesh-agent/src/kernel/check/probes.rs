//! What is tried.

use super::conflicts::conflicts;
use super::{Outcome, Probe, Status};
use crate::kernel::bpf::Cursor;
use crate::kernel::bpf::{HOOKS, Hook, Trivial, link, load_trivial, mappable_array, read_batch};
use crate::kernel::sock_diag::dump_sockets;
use crate::kernel::{Settings, btf, mounts, namespaces, pins};
use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::BpfHelper;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

/// Every probe, in the order in which one explains the next.
pub(super) const ALL: [Probe; 17] = [
    Probe {
        name: "privilege",
        effect: "nothing can be loaded",
        remedy: "run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH",
        run: privilege,
    },
    Probe {
        name: "cgroup",
        effect: "the programs have nothing to be attached to",
        remedy: "mount a cgroup2 (mount -t cgroup2 none /sys/fs/cgroup/unified) or name a directory of one with --cgroup",
        run: cgroup,
    },
    Probe {
        name: "bpffs",
        effect: "nothing would outlive the agent",
        remedy: "mount -t bpf bpf /sys/fs/bpf",
        run: bpffs,
    },
    Probe {
        name: "jit",
        effect: "the programs are interpreted: each connect costs several times as much",
        remedy: "sysctl -w net.core.bpf_jit_enable=1",
        run: jit,
    },
    Probe {
        name: "btf",
        effect: "failed connections are counted under UNKNOWN instead of their errno, and some bytes may be off by one",
        remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF",
        run: kernel_types,
    },
    Probe {
        name: "maps",
        effect: "tables, counts or socket states cannot be kept",
        remedy: "use a kernel of 6.1 or later",
        run: maps,
    },
    Probe {
        name: "map_batches",
        effect: "counts cannot be read, and rows of removed services stay",
        remedy: "use a kernel of 6.1 or later",
        run: map_batches,
    },
    Probe {
        name: "programs",
        effect: "connections are neither rewritten nor counted",
        remedy: "use a kernel of 6.1 or later with CONFIG_CGROUP_BPF",
        run: programs,
    },
    Probe {
        name: "set_retval",
        effect: "the programs are refused: a service without endpoints could not be answered EHOSTUNREACH",
        remedy: "use a kernel of 6.1 or later",
        run: set_retval,
    },
    Probe {
        name: "skb_storage",
        effect: "the meter is refused: it keeps what it knows of a connection with the socket",
        remedy: "use a kernel of 6.1 or later",
        run: skb_storage,
    },
    Probe {
        name: "loops",
        effect: "the meter is refused: it walks through headers in a loop of the kernel's",
        remedy: "use a kernel of 6.1 or later",
        run: loops,
    },
    Probe {
        name: "ring_buffer",
        effect: "the meter is refused: it could not tell of single RPCs",
        remedy: "use a kernel of 6.1 or later",
        run: ring_buffer,
    },
    Probe {
        name: "netns_cookie",
        effect: "processes of the host cannot be told from pods",
        remedy: "use a kernel of 5.14 or later, and run with CAP_SYS_ADMIN",
        run: netns_cookie,
    },
    Probe {
        name: "sock_diag",
        effect: "bytes of open connections are counted only when they end, and `connections` lists nothing",
        remedy: "use a kernel with CONFIG_INET_DIAG (modprobe tcp_diag) of 5.7 or later",
        run: sock_diag,
    },
    Probe {
        name: "conflicts",
        effect: "the programs cannot be attached",
        remedy: "detach the program named (bpftool cgroup detach), or have its owner attach it with BPF_F_ALLOW_MULTI or a link",
        run: conflicts,
    },
    Probe {
        name: "attach",
        effect: "the programs cannot be attached",
        remedy: "see `conflicts` and `privilege`",
        run: attach,
    },
    Probe {
        name: "leftovers",
        effect: "what is pinned stays in force until it is replaced or removed",
        remedy: "`mesh-agent run` replaces it, `mesh-agent unload` removes it",
        run: leftovers,
    },
];

/// Something the kernel refused. Without privilege nothing is known of the kernel.
fn refused(what: &str, error: &io::Error) -> Outcome {
    let outcome = Outcome::failed(format!("{what}: {error}"));
    if error.kind() == ErrorKind::PermissionDenied {
        return Outcome {
            remedy: Some("see `privilege`, then `conflicts`".to_owned()),
            ..outcome
        };
    }
    outcome
}

fn privilege(_: &Settings) -> Outcome {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let facts: Vec<_> = status
        .lines()
        .filter(|line| line.starts_with("Uid:") || line.starts_with("CapEff:"))
        .map(|line| {
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let facts = facts.join(", ");
    match aya::sys::is_map_supported(MapType::Hash) {
        Ok(true) => Outcome::ok(format!("bpf(2) makes a map ({facts})")),
        Ok(false) => Outcome::failed(format!("the kernel knows no hash maps ({facts})")),
        Err(error) => Outcome::failed(format!("{error}: {} ({facts})", error.io_error)),
    }
}

fn cgroup(settings: &Settings) -> Outcome {
    match mounts::open_cgroup(&settings.cgroup) {
        Ok(_) => Outcome::ok(format!("{} is on a cgroup2", settings.cgroup.display())),
        Err(error) => Outcome::failed(error.to_string()),
    }
}

fn bpffs(settings: &Settings) -> Outcome {
    match pins::require_bpffs(&settings.bpffs) {
        Ok(()) => Outcome::ok(format!(
            "{} is on a bpf file system",
            settings.bpffs.display()
        )),
        Err(error) => Outcome::failed(error.to_string()),
    }
}

fn jit(_: &Settings) -> Outcome {
    let path = "/proc/sys/net/core/bpf_jit_enable";
    match fs::read_to_string(path).map(|text| text.trim().to_owned()) {
        Ok(value) if value == "0" => Outcome::warning(format!("{path} is 0")),
        Ok(value) => Outcome::ok(format!("{path} is {value}")),
        Err(error) => Outcome::warning(format!("cannot read {path}: {error}")),
    }
}

fn kernel_types(_: &Settings) -> Outcome {
    let path = btf::VMLINUX;
    match btf::sock_types() {
        Ok(offsets) if offsets.err > 0 && offsets.flags > 0 => Outcome::ok(format!(
            "{path}: sk_err at {}, sk_flags at {}",
            offsets.err, offsets.flags
        )),
        Ok(offsets) => {
            Outcome::warning(format!("{path} lacks a member of struct sock: {offsets:?}"))
        }
        Err(error) => Outcome::warning(format!("cannot read {path}: {error}")),
    }
}

fn maps(_: &Settings) -> Outcome {
    let types = [
        (MapType::Hash, "hash"),
        (MapType::LruHash, "LRU hash"),
        (MapType::Array, "array"),
        (MapType::PerCpuArray, "per-CPU array"),
        (MapType::SkStorage, "socket storage"),
        (MapType::SockHash, "hash of sockets"),
    ];
    for (map_type, name) in types {
        match aya::sys::is_map_supported(map_type) {
            Ok(true) => {}
            Ok(false) => return Outcome::failed(format!("the kernel knows no {name} maps")),
            Err(error) => return refused(&format!("no {name} map"), &error.io_error),
        }
    }
    match mappable_array() {
        Ok(_) => Outcome::ok(
            "hash, LRU hash, array (mappable), per-CPU array, socket storage and hash of sockets were made",
        ),
        Err(error) => refused("no array that can be mapped into memory", &error),
    }
}

fn map_batches(_: &Settings) -> Outcome {
    let mut cursor = Cursor::Start;
    let read = mappable_array()
        .and_then(|map| read_batch(map, &mut cursor, &mut [0_u32; 2], &mut [0_u64; 2]));
    match read {
        Ok(1) => Outcome::ok("an array was read with one call"),
        Ok(count) => Outcome::failed(format!("an array of 1 entry showed {count}")),
        Err(error) => refused("an array cannot be read with one call", &error),
    }
}

fn programs(_: &Settings) -> Outcome {
    for hook in HOOKS {
        if let Err(error) = load_trivial(hook, Trivial::Allow) {
            return refused(&format!("no program for {}", hook.name), &error);
        }
    }
    let names: Vec<_> = HOOKS.iter().map(|hook| hook.name).collect();
    Outcome::ok(format!("programs were loaded for {}", names.join(", ")))
}

fn set_retval(_: &Settings) -> Outcome {
    let [connect4, ..] = HOOKS;
    match load_trivial(connect4, Trivial::SetRetval) {
        Ok(_) => Outcome::ok("a program for connect4 may call bpf_set_retval"),
        Err(error) => refused("bpf_set_retval is refused in connect4", &error),
    }
}

fn skb_storage(_: &Settings) -> Outcome {
    may_call(BpfHelper::BPF_FUNC_sk_storage_get, "bpf_sk_storage_get")
}

fn loops(_: &Settings) -> Outcome {
    may_call(BpfHelper::BPF_FUNC_loop, "bpf_loop")
}

fn ring_buffer(_: &Settings) -> Outcome {
    match aya::sys::is_map_supported(MapType::RingBuf) {
        Ok(true) => may_call(BpfHelper::BPF_FUNC_ringbuf_output, "bpf_ringbuf_output"),
        Ok(false) => Outcome::failed("the kernel knows no ring buffers"),
        Err(error) => refused("no ring buffer", &error.io_error),
    }
}

/// Whether programs that see packets may call a function of the kernel.
fn may_call(helper: BpfHelper, name: &str) -> Outcome {
    match aya::sys::is_helper_supported(ProgramType::CgroupSkb, helper) {
        Ok(true) => Outcome::ok(format!("programs that see packets may call {name}")),
        Ok(false) => Outcome::failed(format!("programs that see packets may not call {name}")),
        Err(error) => Outcome::failed(format!("{name} cannot be tried: {error}")),
    }
}

fn netns_cookie(_: &Settings) -> Outcome {
    match namespaces::host_cookie() {
        Ok(cookie) => Outcome::ok(format!("the host's network namespace has cookie {cookie}")),
        Err(error) => Outcome::failed(error.to_string()),
    }
}

/// A kernel that knows storages in dumps refuses a descriptor that is none; an older one ignores it.
fn sock_diag(_: &Settings) -> Outcome {
    let refused = mappable_array().map(|map| {
        let own = namespaces::host().into_iter().collect::<BTreeMap<_, _>>();
        namespaces::visit(&own, |_| Some(dump_sockets(map.as_fd(), |_| {})))
    });
    let answer = match refused {
        Ok(Ok(mut answers)) => answers.pop().map(|(_, answer)| answer),
        Ok(Err(error)) => return Outcome::warning(error.to_string()),
        Err(error) => return Outcome::warning(format!("no map to try it with: {error}")),
    };
    match answer {
        Some(Err(error)) if error.kind() == ErrorKind::InvalidInput => {
            Outcome::ok("a dump of TCP sockets brings socket storage along")
        }
        Some(Ok(())) => {
            Outcome::warning("a dump of TCP sockets does not bring socket storage along")
        }
        Some(Err(error)) => Outcome::warning(format!("TCP sockets cannot be dumped: {error}")),
        None => Outcome::warning("the host's network namespace cannot be entered"),
    }
}

/// Attaches a program that allows everything, for a moment.
fn attach(settings: &Settings) -> Outcome {
    let cgroup = match mounts::open_cgroup(&settings.cgroup) {
        Ok(cgroup) => cgroup,
        Err(error) => return Outcome::failed(error.to_string()),
    };
    let attach = |hook: Hook| -> io::Result<()> {
        let program = load_trivial(hook, Trivial::Allow)?;
        link(program.as_fd(), cgroup.as_fd(), hook).map(drop)
    };
    for hook in HOOKS {
        if let Err(error) = attach(hook) {
            let cgroup = settings.cgroup.display();
            return refused(&format!("no link for {} on {cgroup}", hook.name), &error);
        }
    }
    Outcome::ok(format!(
        "links were made on {} for every hook, and removed",
        settings.cgroup.display()
    ))
}

fn leftovers(settings: &Settings) -> Outcome {
    let path = settings.bpffs.display();
    if let Some(holder) = pins::holder(&settings.bpffs) {
        return Outcome {
            status: Status::Warning,
            evidence: format!("{path} is held by an agent ({holder})"),
            remedy: Some(format!(
                "stop {holder} before another agent is started here, or give that one its own --bpffs and --cgroup"
            )),
        };
    }
    let pinned: Vec<_> = pins::versions(&settings.bpffs)
        .unwrap_or_default()
        .iter()
        .map(|version| version.display().to_string())
        .collect();
    if pinned.is_empty() {
        return Outcome::ok(format!("{path} holds no pins"));
    }
    Outcome::warning(format!(
        "pins of an agent that has ended: {}",
        pinned.join(", ")
    ))
}
