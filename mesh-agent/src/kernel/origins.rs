//! Where connections to the proxy were going, and who made them.

use super::KernelError;
use super::bpf;
use super::ends::Ends;
use super::maps::LoadedMaps;
use super::namespaces;
use super::registry::Registry;
use super::sock_diag::dump_sockets;
use crate::observe::SourceLabels;
use aya::maps::{MapData, PerCpuArray};
use mesh_common::address::SocketAddress;
use mesh_common::capture::{Origin, OriginKey};
use mesh_common::counter::Counter;
use mesh_common::names;
use mesh_common::socket::{Rewrite, SocketState};
use mesh_common::source::SOURCE_UNKNOWN;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How often processes of the host are looked up when one has no name yet.
const HOSTS_EVERY: Duration = Duration::from_secs(1);

/// Where a captured connection was going, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The service address that the application asked for.
    pub requested: SocketAddr,
    /// Who.
    pub source: SourceLabels,
    /// Whether that is known.
    pub is_source_known: bool,
}

/// The origins of captured connections.
pub struct Origins {
    origins: MapData,
    sockets: MapData,
    counters: PerCpuArray<MapData, u64>,
    host_sources: MapData,
    hosts_read: Option<Instant>,
    ends: Ends,
    registry: Registry,
    /// Connections that were looked for among the sockets: no more than the kernel had no room for.
    searched: u64,
}

impl Origins {
    pub(super) fn new(
        maps: &LoadedMaps,
        ends: Ends,
        registry: Registry,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            origins: maps.duplicate(names::ORIGINS)?,
            sockets: maps.duplicate(names::SOCKETS)?,
            counters: maps.per_cpu(names::COUNTERS)?,
            host_sources: maps.duplicate(names::HOST_SOURCES)?,
            hosts_read: None,
            ends,
            registry,
            searched: 0,
        })
    }

    /// Where the connection from `client` in this namespace was going; to be asked once. `None`: it was not captured, but
    /// made to the listener itself.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn take(
        &mut self,
        netns_cookie: u64,
        client: SocketAddr,
        now: Instant,
    ) -> Result<Option<Captured>, KernelError> {
        let key = OriginKey {
            netns_cookie,
            client: client.into(),
            reserved: 0,
        };
        let taken = bpf::take::<_, Origin>(self.origins.fd().as_fd(), &key)
            .map_err(KernelError::system("read where a connection was going"))?;
        let origin = match taken {
            Some(origin) => Some(origin),
            None => self.search(netns_cookie, key.client)?,
        };
        Ok(origin.map(|origin| self.describe(&origin, now)))
    }

    fn describe(&mut self, origin: &Origin, now: Instant) -> Captured {
        let is_due = self
            .hosts_read
            .is_none_or(|last| now.saturating_duration_since(last) >= HOSTS_EVERY);
        if self.ends.is_new_host(origin.source) && is_due {
            self.hosts_read = Some(now);
            let refreshed = self.ends.refresh_hosts(self.host_sources.fd().as_fd());
            if let Err(error) = refreshed {
                tracing::debug!(%error, "a process of the host has no name");
            }
        }
        Captured {
            requested: origin.requested.into(),
            source: self.ends.source(origin.source),
            is_source_known: origin.source != SOURCE_UNKNOWN,
        }
    }

    /// Where `ORIGINS` was full, the connecting socket still knows; finding it takes a walk over those of the namespace.
    fn search(
        &mut self,
        netns_cookie: u64,
        client: SocketAddress,
    ) -> Result<Option<Origin>, KernelError> {
        let full = self.counters.get(&(Counter::OriginsFull as u32), 0);
        let full: u64 = full.map_or(0, |values| values.iter().sum());
        if self.searched >= full {
            return Ok(None);
        }
        self.searched += 1;
        let Some(namespace) = self.registry.get(netns_cookie) else {
            return Ok(None);
        };
        let storage = self.sockets.fd().as_fd();
        let mut found = None;
        let dumped = namespaces::inside(namespace.as_fd(), || {
            dump_sockets(storage, |socket| {
                if socket.local == client && is_captured(&socket.remembered) {
                    found = Some(Origin {
                        requested: socket.remembered.requested,
                        source: socket.remembered.source,
                    });
                }
            })
        })?;
        dumped.map_err(KernelError::system("look for a socket with SOCK_DIAG"))?;
        Ok(found)
    }
}

const fn is_captured(state: &SocketState) -> bool {
    state.rewritten == Rewrite::Listener as u32
}
