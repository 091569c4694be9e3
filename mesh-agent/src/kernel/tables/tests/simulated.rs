//! A simulated kernel: the maps, and a reader that looks at them as the kernel programs do.

use crate::kernel::steps::{AddressStep, Step};
use mesh_common::address::{Address, SocketAddress};
use mesh_common::capture::{CallerEntry, ConsumerKey};
use mesh_common::table::{
    EndpointEntry, EndpointRecord, HEADER_ROWS, Row, TableHeader, TableReference,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The maps.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) services: HashMap<u32, TableReference>,
    rows: HashMap<u32, Row>,
    pub(super) endpoints: HashMap<u32, EndpointRecord>,
    pub(super) frontends: HashMap<SocketAddress, u32>,
    pub(super) endpoint_addresses: HashMap<SocketAddress, EndpointEntry>,
    pub(super) workload_addresses: HashMap<Address, CallerEntry>,
    pub(super) consumers: BTreeSet<ConsumerKey>,
}

impl Kernel {
    pub(super) fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Endpoint { id, record } => {
                self.endpoints.insert(*id, *record);
            }
            Step::State { id, state } => {
                let record = self.endpoints.get_mut(id).unwrap();
                record.usable = u32::from(state.is_usable);
                record.protocol = state.protocol as u32;
            }
            Step::Rows { offset, rows } => self.rows.extend((*offset..).zip(rows.iter().copied())),
            Step::Publish { service, reference } => {
                self.services.insert(*service, *reference);
            }
            Step::Address(AddressStep::Frontend(key, value)) => {
                set(&mut self.frontends, *key, *value)
            }
            Step::Address(AddressStep::Endpoint(key, value)) => {
                set(&mut self.endpoint_addresses, *key, *value);
            }
            Step::Address(AddressStep::Workload(key, value)) => {
                set(&mut self.workload_addresses, *key, *value);
            }
            Step::Address(AddressStep::Consumer(key, true)) => {
                self.consumers.insert(*key);
            }
            Step::Address(AddressStep::Consumer(key, false)) => {
                self.consumers.remove(key);
            }
        }
    }

    /// The endpoints a connect to a service could get, checked as the kernel program checks them.
    fn table(&self, service: u32) -> Option<(TableHeader, Vec<EndpointRecord>)> {
        let offset = self.services.get(&service)?.offset()?;
        let row = |index: u32| self.rows[&(offset + index)];
        let header = TableHeader::from_rows([row(0), row(1), row(2)]);
        assert_eq!(header.service, service, "torn table");
        let endpoints = (0..header.length)
            .map(|index| {
                let record = self.endpoints[&u32::try_from(row(HEADER_ROWS + index)).unwrap()];
                assert_eq!(record.service, service, "torn endpoint");
                record
            })
            .collect();
        Some((header, endpoints))
    }

    /// What must hold at every moment.
    pub(super) fn look(&self) {
        for service in self.frontends.values() {
            assert!(
                self.table(*service).is_some(),
                "a cluster IP without a table"
            );
        }
        for service in self.services.keys() {
            let _complete = self.table(*service);
        }
        for (address, entry) in &self.endpoint_addresses {
            assert_eq!(
                self.endpoints[&entry.endpoint()].address,
                *address,
                "a pod address with another endpoint"
            );
        }
    }

    /// Where connects to a cluster IP go: addresses with their number of rows, and the affinity timeout.
    pub(super) fn reach(&self, vip: SocketAddress) -> Option<(BTreeMap<SocketAddress, u32>, u32)> {
        let (header, endpoints) = self.table(*self.frontends.get(&vip)?)?;
        let mut weights = BTreeMap::new();
        for record in endpoints {
            assert_eq!(record.usable, 1, "an endpoint in use is not usable");
            *weights.entry(record.address).or_default() += 1;
        }
        Some((weights, header.affinity_timeout_s))
    }
}

fn set<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}
