//! The writes that carry a change into the kernel, in the order in which they must become visible.

use mesh_common::address::{Address, SocketAddress};
use mesh_common::capture::{CallerEntry, ConsumerKey};
use mesh_common::names;
use mesh_common::socket::Protocol;
use mesh_common::table::{EndpointEntry, EndpointRecord, Row, TableReference};

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes an endpoint nobody refers to yet.
    Endpoint {
        /// The endpoint id.
        id: u32,
        /// Its record.
        record: EndpointRecord,
    },
    /// Changes what changes in place of an endpoint.
    State {
        /// The endpoint id.
        id: u32,
        /// All of it, as it is one word.
        state: EndpointState,
    },
    /// Writes a table nobody refers to yet, header included.
    Rows {
        /// Its first row.
        offset: u32,
        /// All of it.
        rows: Vec<Row>,
    },
    /// Publishes a table, or withdraws it.
    Publish {
        /// The service id.
        service: u32,
        /// The table.
        reference: TableReference,
    },
    /// Sets or removes a key of one of the hash maps.
    Address(AddressStep),
}

/// What changes in place of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndpointState {
    /// Whether it stands in its service's table; if not, affinity to it is over.
    pub(super) is_usable: bool,
    /// What it speaks.
    pub(super) protocol: Protocol,
}

/// A write to one of the hash maps that are looked up by what a connect is known by: an address, or who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressStep {
    /// `FRONTENDS`: the service behind a cluster IP and port.
    Frontend(SocketAddress, Option<u32>),
    /// `ENDPOINT_ADDRS`: the endpoint behind a pod's address and port.
    Endpoint(SocketAddress, Option<EndpointEntry>),
    /// `WORKLOAD_ADDRS`: the workload behind a pod's address.
    Workload(Address, Option<CallerEntry>),
    /// `CONSUMERS`: whether callers of a Kubernetes namespace are routed at a service.
    Consumer(ConsumerKey, bool),
}

impl AddressStep {
    /// The map it writes to.
    pub(super) fn map(self) -> &'static str {
        match self {
            Self::Frontend(..) => names::FRONTENDS,
            Self::Endpoint(..) => names::ENDPOINT_ADDRESSES,
            Self::Workload(..) => names::WORKLOAD_ADDRESSES,
            Self::Consumer(..) => names::CONSUMERS,
        }
    }
}
