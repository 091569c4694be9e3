//! Reads what was measured.

use super::bpf::{Cursor, read_batch};
use super::fill::Fill;
use super::hosts::HostNames;
use super::installed::LabelIds;
use super::labels::Names;
use super::maps::LoadedMaps;
use super::namespaces::{self, NamespaceId};
use super::netns_sources::NetnsSources;
use super::rows::{Ledger, Open, Rows};
use super::sock_diag::{OpenSocket, dump_sockets};
use super::{KernelError, Settings, mounts};
use crate::observe::{
    ConnectionSeries, DestinationLabels, MapFill, OpenConnection, Snapshot, SourceLabels,
};
use aya::maps::{Map, MapData, PerCpuArray};
use mesh_common::affinity::{AffinitySet, WAYS};
use mesh_common::connection::ConnectionKey;
use mesh_common::counter::Counter;
use mesh_common::names;
use mesh_common::socket::{Phase, SocketState};
use mesh_common::source::{HOST_SOURCE_BASE, SOURCE_HOST_OTHER};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Forwards the messages that the kernel programs have written since.
pub(super) type KernelLog = Box<dyn FnMut() + Send>;
