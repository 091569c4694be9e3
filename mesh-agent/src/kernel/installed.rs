//! What stands in the kernel for one service port and address family, and what a plan wants there.

use super::labels::Interner;
use super::ranges::RowRange;
use super::routing::TableRouting;
use super::steps::{EndpointState, Step};
use crate::model::AppProtocol;
use crate::observe::{DestinationLabels, Path, SourceLabels};
use crate::plan::{EndpointPlan, FamilyPlan, PortPlan, ServicePlan, Standing};
use mesh_common::address::{Address, SocketAddress};
use mesh_common::capture::{CallerEntry, namespace_id};
use mesh_common::socket::Protocol;
use mesh_common::source::HOST_SOURCE_BASE;
use mesh_common::table::{EndpointRecord, HEADER_ROWS, Row, TableHeader};
use std::net::IpAddr;
use std::sync::Arc;

/// Whom connections are for, and which way they go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    pub(super) labels: DestinationLabels,
    pub(super) path: Path,
}

/// Ids of labels, for both ends of a connection.
#[derive(Debug)]
pub(super) struct LabelIds {
    /// Who connects: workloads.
    pub(super) sources: Interner<SourceLabels>,
    /// Whom it is for.
    pub(super) destinations: Interner<Destination>,
}

impl Default for LabelIds {
    fn default() -> Self {
        Self {
            sources: Interner::new(HOST_SOURCE_BASE),
            destinations: Interner::new(u32::MAX),
        }
    }
}

/// Which table of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The service port.
    pub(super) port: u16,
    /// The address family.
    pub(super) ipv6: bool,
}

/// One endpoint as wanted. Holds one use of each of its label ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WantedEndpoint {
    pub(super) address: SocketAddress,
    pub(super) destination: u32,
    /// Its workload, if that has a name and an address of its own.
    pub(super) source: Option<CallerEntry>,
    /// Rows in the table; zero: not in use.
    pub(super) weight: u32,
    /// What it speaks.
    pub(super) protocol: Protocol,
}

/// What one service port shall be in one address family. Holds uses of label ids until released.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) frontends: Vec<SocketAddress>,
    pub(super) affinity_timeout_s: u32,
    /// Destination of connects that find no usable endpoint.
    pub(super) destination: u32,
    /// What goes to the proxy.
    pub(super) routing: TableRouting,
    /// Ordered by address, each once.
    pub(super) endpoints: Vec<WantedEndpoint>,
}

impl Wanted {
    /// Everything a plan wants.
    pub(super) fn all(plan: &ServicePlan, labels: &mut LabelIds) -> Vec<Self> {
        let mut wanted = Vec::new();
        for port in &plan.ports {
            for family in &port.families {
                wanted.push(Self::new(plan, port, family, labels));
            }
        }
        wanted
    }

    fn new(
        plan: &ServicePlan,
        port: &PortPlan,
        family: &FamilyPlan,
        labels: &mut LabelIds,
    ) -> Self {
        let mut plans: Vec<_> = family.endpoints.iter().collect();
        plans.sort_by_key(|endpoint| SocketAddress::from(endpoint.address));
        plans.dedup_by_key(|endpoint| endpoint.address);
        let endpoints = plans
            .into_iter()
            .map(|endpoint| wanted_endpoint(plan, port, endpoint, labels))
            .collect();
        let mut frontends: Vec<_> = family
            .cluster_ips
            .iter()
            .map(|ip| SocketAddress::new((*ip).into(), port.port))
            .collect();
        frontends.sort_unstable();
        frontends.dedup();
        Self {
            place: Place {
                port: port.port,
                ipv6: family.ipv6,
            },
            frontends,
            affinity_timeout_s: port.affinity_timeout_s.map_or(0, u32::from),
            destination: acquire(plan, None, labels),
            routing: TableRouting::new(&port.routing, destination(plan, None), labels),
            endpoints,
        }
    }

    /// Rows of the table, header included; more than any table has if weights add up to more.
    pub(super) fn table_length(&self) -> u32 {
        self.endpoints.iter().fold(HEADER_ROWS, |sum, endpoint| {
            sum.saturating_add(endpoint.weight)
        })
    }

    /// Gives back the label ids.
    pub(super) fn release(self, labels: &mut LabelIds) {
        labels.destinations.release(self.destination);
        self.routing.release(labels);
        for endpoint in self.endpoints {
            release_labels(&endpoint, labels);
        }
    }
}

fn wanted_endpoint(
    plan: &ServicePlan,
    port: &PortPlan,
    endpoint: &EndpointPlan,
    labels: &mut LabelIds,
) -> WantedEndpoint {
    let workload = endpoint.workload.as_ref();
    let source = workload
        .filter(|_| names_a_workload(endpoint.address.ip()))
        .map(|workload| {
            let source = labels.sources.acquire(SourceLabels {
                workload: Arc::clone(&workload.name),
                namespace: Arc::clone(&workload.namespace),
            });
            CallerEntry::new(source, namespace_id(&workload.namespace))
        });
    WantedEndpoint {
        address: endpoint.address.into(),
        destination: acquire(plan, workload.map(|workload| &workload.name), labels),
        source,
        weight: match endpoint.standing {
            Standing::InUse { weight } => weight.max(1),
            Standing::NotReady | Standing::Terminating | Standing::OtherLocality => 0,
        },
        protocol: protocol(port.protocol),
    }
}

/// What the kernel makes of a declared protocol.
fn protocol(declared: Option<AppProtocol>) -> Protocol {
    match declared {
        None => Protocol::Unknown,
        Some(AppProtocol::Grpc | AppProtocol::H2c | AppProtocol::Http2) => Protocol::Http2,
        Some(AppProtocol::Http | AppProtocol::Wss | AppProtocol::Tcp) => Protocol::Other,
    }
}

/// A use of the destination that connections to endpoints count for.
fn acquire(plan: &ServicePlan, workload: Option<&Arc<str>>, labels: &mut LabelIds) -> u32 {
    labels.destinations.acquire(Destination {
        labels: destination(plan, workload),
        path: Path::Direct,
    })
}

fn destination(plan: &ServicePlan, workload: Option<&Arc<str>>) -> DestinationLabels {
    DestinationLabels {
        service: Arc::clone(&plan.name.name),
        namespace: Arc::clone(&plan.name.namespace),
        workload: workload.map_or_else(|| Arc::from(""), Arc::clone),
    }
}

/// Whether an address belongs to one workload: loopback and link-local addresses exist in every namespace.
pub(super) fn names_a_workload(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified()),
    }
}

fn release_labels(endpoint: &WantedEndpoint, labels: &mut LabelIds) {
    labels.destinations.release(endpoint.destination);
    if let Some(source) = endpoint.source {
        labels.sources.release(source.source());
    }
}

/// One endpoint in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstalledEndpoint {
    pub(super) id: u32,
    pub(super) wanted: WantedEndpoint,
}

impl InstalledEndpoint {
    /// Whether it stands in the table.
    pub(super) fn is_in_use(&self) -> bool {
        self.wanted.weight > 0
    }

    /// Its record.
    pub(super) fn record(&self, service: u32, generation: u32) -> EndpointRecord {
        EndpointRecord {
            address: self.wanted.address,
            service,
            destination: self.wanted.destination,
            generation,
            usable: u32::from(self.is_in_use()),
            protocol: self.wanted.protocol as u32,
        }
    }

    /// What changes in place of its record.
    pub(super) fn state(&self) -> EndpointState {
        EndpointState {
            is_usable: self.is_in_use(),
            protocol: self.wanted.protocol,
        }
    }

    /// The step that takes it out of use.
    pub(super) fn leaves(&self) -> Step {
        Step::State {
            id: self.id,
            state: EndpointState {
                is_usable: false,
                ..self.state()
            },
        }
    }

    /// The address whose connections come from this endpoint's workload.
    pub(super) fn workload_address(&self) -> Option<(Address, CallerEntry)> {
        self.wanted
            .source
            .map(|source| (self.wanted.address.address, source))
    }
}

/// What stands in the kernel for one service port and address family.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) place: Place,
    pub(super) service: u32,
    pub(super) publication: u32,
    pub(super) range: RowRange,
    pub(super) affinity_timeout_s: u32,
    pub(super) destination: u32,
    pub(super) routing: TableRouting,
    pub(super) frontends: Vec<SocketAddress>,
    pub(super) endpoints: Vec<InstalledEndpoint>,
}

impl Installed {
    /// Gives back the label ids.
    pub(super) fn release_labels(&self, labels: &mut LabelIds) {
        labels.destinations.release(self.destination);
        self.routing.release(labels);
        for endpoint in &self.endpoints {
            release_labels(&endpoint.wanted, labels);
        }
    }

    /// The step that writes the table into its range.
    pub(super) fn rows(&self) -> Step {
        let header = TableHeader {
            service: self.service,
            length: self.range.length - HEADER_ROWS,
            affinity_timeout_s: self.affinity_timeout_s,
            flags: self.routing.flags,
            destination: self.destination,
            routed_destination: self.routing.destination,
        };
        let mut rows: Vec<Row> = Vec::with_capacity(self.range.length as usize);
        rows.extend(header.to_rows());
        for endpoint in &self.endpoints {
            rows.extend(std::iter::repeat_n(
                Row::from(endpoint.id),
                endpoint.wanted.weight as usize,
            ));
        }
        Step::Rows {
            offset: self.range.offset,
            rows,
        }
    }
}

/// How a family that stands in the kernel differs from what is wanted.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// For each wanted endpoint the index of the installed one that serves it.
    pub(super) kept: Vec<Option<usize>>,
    /// Indices of installed endpoints that go.
    pub(super) removed: Vec<usize>,
    /// Whether the table must be written anew.
    pub(super) table: bool,
}

impl Difference {
    /// Compares by merging the two ordered lists. An endpoint whose labels change is another endpoint.
    pub(super) fn between(current: Option<&Installed>, wanted: &Wanted) -> Self {
        let Some(current) = current else {
            return Self {
                kept: vec![None; wanted.endpoints.len()],
                removed: Vec::new(),
                table: true,
            };
        };
        let mut difference = Self {
            kept: Vec::with_capacity(wanted.endpoints.len()),
            removed: Vec::new(),
            table: current.affinity_timeout_s != wanted.affinity_timeout_s
                || current.destination != wanted.destination
                || !current.routing.has_header_of(&wanted.routing),
        };
        let mut old = current.endpoints.iter().enumerate().peekable();
        for endpoint in &wanted.endpoints {
            while let Some((index, gone)) =
                old.next_if(|(_, old)| old.wanted.address < endpoint.address)
            {
                difference.remove(index, gone);
            }
            let kept = old
                .next_if(|(_, old)| old.wanted.address == endpoint.address)
                .and_then(|(index, old)| difference.keep(index, old, endpoint));
            difference.table |= kept.is_none() && endpoint.weight > 0;
            difference.kept.push(kept);
        }
        for (index, gone) in old {
            difference.remove(index, gone);
        }
        difference
    }

    /// Number of endpoints that are new.
    pub(super) fn added(&self) -> usize {
        self.kept.iter().filter(|kept| kept.is_none()).count()
    }

    fn keep(
        &mut self,
        index: usize,
        old: &InstalledEndpoint,
        new: &WantedEndpoint,
    ) -> Option<usize> {
        if old.wanted.destination != new.destination || old.wanted.source != new.source {
            self.remove(index, old);
            return None;
        }
        self.table |= old.wanted.weight != new.weight;
        Some(index)
    }

    fn remove(&mut self, index: usize, gone: &InstalledEndpoint) {
        self.table |= gone.wanted.weight > 0;
        self.removed.push(index);
    }
}
