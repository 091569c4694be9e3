//! The writes that carry a change into the kernel, in the order in which they must become visible.

use mesh_common::address::{Address, SocketAddress};
use mesh_common::names;
use mesh_common::table::{EndpointRecord, Row, TableReference};

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
    /// Allows or forbids affinity to an endpoint.
    Usable {
        /// The endpoint id.
        id: u32,
        /// Whether it stands in its service's table.
        usable: bool,
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
    /// Sets or removes a key of one of the address maps.
    Address(AddressStep),
}

/// A write to one of the hash maps that are keyed by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressStep {
    /// `FRONTENDS`: the service behind a cluster IP and port.
    Frontend(SocketAddress, Option<u32>),
    /// `ENDPOINT_ADDRS`: the endpoint behind a pod's address and port.
    Endpoint(SocketAddress, Option<u32>),
    /// `WORKLOAD_ADDRS`: the workload behind a pod's address.
    Workload(Address, Option<u32>),
}

impl AddressStep {
    /// The map it writes to.
    pub(super) fn map(self) -> &'static str {
        match self {
            Self::Frontend(..) => names::FRONTENDS,
            Self::Endpoint(..) => names::ENDPOINT_ADDRESSES,
            Self::Workload(..) => names::WORKLOAD_ADDRESSES,
        }
    }
}
