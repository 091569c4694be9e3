//! Loads the kernel object and hands out its three owners.

use super::callers::Callers;
use super::ends::Ends;
use super::error::Cause;
use super::fill::Fill;
use super::heartbeat::Heartbeat;
use super::hosts::HostNames;
use super::listeners::{Listeners, Surroundings};
use super::maps::{LoadedMaps, TableMaps};
use super::netns_sources::{NetnsSources, SharedSources};
use super::observations::Observations;
use super::observer::{KernelLog, Observer, Seen};
use super::origins::Origins;
use super::pins::Pins;
use super::programs::Programs;
use super::registry::Registry;
use super::retirement::Retirement;
use super::service_methods::ServiceMethods;
use super::syncer::{Syncer, SyncerMaps, Unattached};
use super::sys::trim_heap;
use super::tables::Tables;
use super::upstream::{MakeUpstream, UpstreamSockets};
use super::{KernelError, Settings, btf, mounts, namespaces};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use mesh_common::names;
use rustix::rand::{GetRandomFlags, getrandom};
use std::sync::Arc;

/// The kernel programs, built by this crate's build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/mesh-programs"));

/// The ring of messages of the kernel programs.
const LOG_MAP: &str = "AYA_LOGS";

/// The parts of the kernel room, each for a thread of its own.
pub struct Opened {
    /// Carries plans into the maps.
    pub syncer: Syncer,
    /// Reads what was measured.
    pub observer: Observer,
    /// Waits for single RPCs.
    pub observations: Observations,
    /// What the proxy works with.
    pub proxy: ProxyParts,
}

/// The parts of the kernel room that the proxy works with.
pub struct ProxyParts {
    /// Listens in callers' namespaces.
    pub listeners: Listeners,
    /// Knows where captured connections were going.
    pub origins: Origins,
    /// Makes sockets in callers' namespaces.
    pub upstream: UpstreamSockets,
    /// Orders them.
    pub make_upstream: MakeUpstream,
    /// Where the listeners are.
    pub callers: Callers,
    /// Says that the proxy moves.
    pub heartbeat: Heartbeat,
}

/// Loads programs and maps; nothing is attached, and what an earlier agent left stays in force.
///
/// # Errors
///
/// The cgroup or the pin directory is unfit, another agent is there, or the kernel refuses the programs.
pub fn open(settings: &Settings) -> Result<Opened, KernelError> {
    let cgroup = mounts::open_cgroup(&settings.cgroup)?;
    let pins = Pins::hold(&settings.bpffs)?;
    let mut object = load(settings)?;
    let maps = LoadedMaps::new(&object)?;
    let logger = logger(settings, &mut object);
    let programs = Programs::load(object, cgroup)?;
    // The loader parses the kernel's type information even when told not to use it.
    trim_heap();

    let fill = Arc::new(Fill::default());
    let tables = Tables::new(settings.capacities);
    let hosts = HostNames::new(mounts::open_cgroup(&settings.cgroup)?);
    let ends = Ends::new(&tables.labels, hosts);
    let (observations, aborted) = Observations::new(&maps, ends)?;
    let namespaces = SharedSources::new(NetnsSources::new(
        maps.hash(names::NETNS_SOURCES)?,
        maps.hash(names::WORKLOAD_ADDRESSES)?,
        Arc::clone(&fill),
    ));
    let seen = Seen {
        aborted,
        namespaces: namespaces.clone(),
        fill: Arc::clone(&fill),
    };
    let observer = Observer::new(settings, &maps, &tables.labels, seen, logger)?;
    let registry = Registry::default();
    let callers = Callers::new(namespaces.clone(), tables.labels.sources.names());
    let surroundings = Surroundings {
        registry: registry.clone(),
        namespaces,
        callers: callers.clone(),
        fill: Arc::clone(&fill),
    };
    let (listeners, demand) = Listeners::new(settings, &maps, surroundings)?;
    let named = Ends::new(
        &tables.labels,
        HostNames::new(mounts::open_cgroup(&settings.cgroup)?),
    );
    let origins = Origins::new(&maps, named, registry.clone())?;
    let (upstream, make_upstream) = UpstreamSockets::new(registry);
    let heartbeat = Heartbeat::new(&maps)?;
    let syncer = Syncer::new(
        tables,
        SyncerMaps {
            tables: TableMaps::new(&maps, settings.capacities)?,
            retirement: Retirement::new(&maps)?,
            methods: ServiceMethods::new(&maps)?,
            demand,
        },
        fill,
        pins,
        Unattached { programs, maps },
    );
    Ok(Opened {
        syncer,
        observer,
        observations,
        proxy: ProxyParts {
            listeners,
            origins,
            upstream,
            make_upstream,
            callers,
            heartbeat,
        },
    })
}

fn load(settings: &Settings) -> Result<Ebpf, KernelError> {
    if OBJECT.is_empty() {
        return Err(KernelError::NoPrograms);
    }
    let cookie = namespaces::host_cookie()?;
    let types = btf::sock_types().unwrap_or_else(|error| {
        tracing::warn!(%error, path = btf::VMLINUX, "no kernel type information: failed connections are counted as UNKNOWN");
        btf::SockTypes::default()
    });
    let has_mptcp = u8::from(types.has_mptcp);
    let capacities = settings.capacities;
    let log_level = settings.log_level.map_or(0, |level| level as u8);
    let path_key = random_key()?;
    let mut loader = EbpfLoader::new();
    loader
        // No program needs relocation by type, and the kernel's types would stay in memory.
        .btf(None)
        .override_global(names::HOST_NETNS_COOKIE, &cookie, true)
        .override_global(names::SK_ERR_OFFSET, &types.err, true)
        .override_global(names::SK_FLAGS_OFFSET, &types.flags, true)
        .override_global(names::HAS_MPTCP, &has_mptcp, true)
        .override_global(names::PATH_KEY, &path_key, true)
        .override_global(aya_log::LEVEL, &log_level, false);
    for (map, entries) in capacities.by_map() {
        loader.map_max_entries(map, entries);
    }
    if settings.log_level.is_none() {
        // The smallest ring there is.
        loader.map_max_entries(LOG_MAP, page_size());
    }
    loader.load(OBJECT).map_err(|source| KernelError::Load {
        cause: Cause::new(&source),
    })
}

/// A number that nobody outside can guess, for the digests of paths.
fn random_key() -> Result<u64, KernelError> {
    let mut bytes = [0; size_of::<u64>()];
    // Fewer than 256 bytes come whole, once the kernel's generator is seeded (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(KernelError::system("choose a random number"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Takes the ring of messages, which dropping closes for good.
fn logger(settings: &Settings, object: &mut Ebpf) -> Option<KernelLog> {
    let level = settings.log_level?;
    match EbpfLogger::init(object) {
        Ok(mut logger) => Some(Box::new(move || logger.flush())),
        Err(error) => {
            tracing::warn!(%error, ?level, "messages of the kernel programs cannot be read");
            None
        }
    }
}

fn page_size() -> u32 {
    u32::try_from(rustix::param::page_size()).unwrap_or(4_096)
}
