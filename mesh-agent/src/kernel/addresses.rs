//! Which service, endpoint or workload stands behind an address; the agent's view of the three address maps.

use super::Capacities;
use super::claims::{Change, Claims};
use super::installed::{InstalledEndpoint, Wanted};
use super::steps::{AddressStep, Step};
use super::tables::Shortage;
use mesh_common::address::{Address, SocketAddress};
use mesh_common::capture::{CallerEntry, ConsumerKey};
use mesh_common::names;
use mesh_common::table::EndpointEntry;
use std::collections::BTreeSet;

/// An endpoint's claim on its address. Services without cluster IPs come first: it is them that are
/// dialled by endpoint address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EndpointClaim {
    has_cluster_ip: bool,
    endpoint: u32,
    /// Its labels: a port of the same Service has the same.
    destination: u32,
}

impl EndpointClaim {
    fn new(endpoint: &InstalledEndpoint, has_cluster_ip: bool) -> Self {
        Self {
            has_cluster_ip,
            endpoint: endpoint.id,
            destination: endpoint.wanted.destination,
        }
    }
}

/// Claims on addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    capacities: Capacities,
    frontends: Claims<SocketAddress, u32>,
    endpoints: Claims<SocketAddress, EndpointClaim>,
    workloads: Claims<Address, CallerEntry>,
    consumers: BTreeSet<ConsumerKey>,
}

impl Addresses {
    /// Starts with no claims.
    pub(super) fn new(capacities: Capacities) -> Self {
        Self {
            capacities,
            frontends: Claims::default(),
            endpoints: Claims::default(),
            workloads: Claims::default(),
            consumers: BTreeSet::new(),
        }
    }

    /// Checks that the maps have room for every address that nobody claims yet.
    pub(super) fn check_room(&self, wanted: &[Wanted]) -> Result<(), Shortage> {
        let endpoints = || wanted.iter().flat_map(|family| &family.endpoints);
        let frontends = wanted
            .iter()
            .flat_map(|family| &family.frontends)
            .filter(|key| self.frontends.get(key).is_none())
            .count();
        let addresses = endpoints()
            .filter(|endpoint| self.endpoints.get(&endpoint.address).is_none())
            .count();
        let workloads = endpoints()
            .filter(|endpoint| endpoint.source.is_some())
            .filter(|endpoint| self.workloads.get(&endpoint.address.address).is_none())
            .count();
        let endpoint_capacity = self.capacities.endpoints as usize;
        Shortage::check(
            names::FRONTENDS,
            frontends,
            (self.capacities.frontends() as usize).saturating_sub(self.frontends.len()),
        )?;
        Shortage::check(
            names::ENDPOINT_ADDRESSES,
            addresses,
            endpoint_capacity.saturating_sub(self.endpoints.len()),
        )?;
        Shortage::check(
            names::WORKLOAD_ADDRESSES,
            workloads,
            endpoint_capacity.saturating_sub(self.workloads.len()),
        )?;
        // Their services may have no id yet; those that stand there already are counted twice.
        let consumers = wanted.iter().map(|family| family.routing.keys(0).count());
        Shortage::check(
            names::CONSUMERS,
            consumers.sum(),
            (Capacities::CONSUMERS as usize).saturating_sub(self.consumers.len()),
        )
    }

    /// Puts a service behind a cluster IP and port.
    pub(super) fn claim_frontend(
        &mut self,
        key: SocketAddress,
        service: u32,
        steps: &mut Vec<Step>,
    ) {
        let change = self.frontends.claim(key, service);
        push(steps, change, |value| AddressStep::Frontend(key, value));
    }

    /// Takes a service away from behind a cluster IP and port.
    pub(super) fn release_frontend(
        &mut self,
        key: SocketAddress,
        service: u32,
        steps: &mut Vec<Step>,
    ) {
        let change = self.frontends.release(key, service);
        push(steps, change, |value| AddressStep::Frontend(key, value));
    }

    /// Puts an endpoint behind its address and port, and its workload behind its address.
    pub(super) fn claim_endpoint(
        &mut self,
        endpoint: &InstalledEndpoint,
        has_cluster_ip: bool,
        steps: &mut Vec<Step>,
    ) {
        let key = endpoint.wanted.address;
        let before = self.endpoint_entry(&key);
        self.endpoints
            .claim(key, EndpointClaim::new(endpoint, has_cluster_ip));
        self.push_endpoint(key, before, steps);
        if let Some((address, source)) = endpoint.workload_address() {
            let change = self.workloads.claim(address, source);
            push(steps, change, |value| AddressStep::Workload(address, value));
        }
    }

    /// The reverse of [`Self::claim_endpoint`].
    pub(super) fn release_endpoint(
        &mut self,
        endpoint: &InstalledEndpoint,
        has_cluster_ip: bool,
        steps: &mut Vec<Step>,
    ) {
        let key = endpoint.wanted.address;
        let before = self.endpoint_entry(&key);
        self.endpoints
            .release(key, EndpointClaim::new(endpoint, has_cluster_ip));
        self.push_endpoint(key, before, steps);
        if let Some((address, source)) = endpoint.workload_address() {
            let change = self.workloads.release(address, source);
            push(steps, change, |value| AddressStep::Workload(address, value));
        }
    }

    /// Has a service's connects from a Kubernetes namespace go to the proxy.
    pub(super) fn add_consumer(&mut self, key: ConsumerKey, steps: &mut Vec<Step>) {
        if self.consumers.insert(key) {
            steps.push(Step::Address(AddressStep::Consumer(key, true)));
        }
    }

    /// The reverse of [`Self::add_consumer`].
    pub(super) fn remove_consumer(&mut self, key: ConsumerKey, steps: &mut Vec<Step>) {
        if self.consumers.remove(&key) {
            steps.push(Step::Address(AddressStep::Consumer(key, false)));
        }
    }

    /// The step for the same key as `stale` that writes what stands behind it now.
    pub(super) fn refreshed(&self, stale: AddressStep) -> AddressStep {
        match stale {
            AddressStep::Consumer(key, _) => {
                AddressStep::Consumer(key, self.consumers.contains(&key))
            }
            AddressStep::Frontend(key, _) => AddressStep::Frontend(key, self.frontends.get(&key)),
            AddressStep::Endpoint(key, _) => AddressStep::Endpoint(key, self.endpoint_entry(&key)),
            AddressStep::Workload(key, _) => AddressStep::Workload(key, self.workloads.get(&key)),
        }
    }

    /// What stands behind an endpoint's address: the endpoint, and whether another Service has it too.
    fn endpoint_entry(&self, key: &SocketAddress) -> Option<EndpointEntry> {
        let winner = self.endpoints.get(key)?;
        let is_shared = self
            .endpoints
            .others(*key)
            .any(|other| other.destination != winner.destination);
        Some(EndpointEntry::new(winner.endpoint, is_shared))
    }

    fn push_endpoint(
        &self,
        key: SocketAddress,
        before: Option<EndpointEntry>,
        steps: &mut Vec<Step>,
    ) {
        let after = self.endpoint_entry(&key);
        if before != after {
            steps.push(Step::Address(AddressStep::Endpoint(key, after)));
        }
    }

    /// Keys in use: cluster IPs, endpoint addresses, workload addresses, consumers.
    pub(super) fn used(&self) -> [usize; 4] {
        [
            self.frontends.len(),
            self.endpoints.len(),
            self.workloads.len(),
            self.consumers.len(),
        ]
    }
}

fn push<V>(steps: &mut Vec<Step>, change: Change<V>, step: impl FnOnce(Option<V>) -> AddressStep) {
    match change {
        Change::Set(value) => steps.push(Step::Address(step(Some(value)))),
        Change::Remove => steps.push(Step::Address(step(None))),
        Change::Keep => {}
    }
}
