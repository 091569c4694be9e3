//! The agent's own view of the tables in the kernel: which ids and ranges are taken, and which writes carry a
//! change. No kernel in here.
//!
//! A change of one Service happens whole or not at all: everything it needs is reserved first, and given back
//! if anything is short. The order of the writes keeps every reader's view complete:
//!
//! ```text
//! new:  endpoint records ─► table rows ─► publish ─► cluster IPs, pod addresses
//! gone: cluster IPs, pod addresses ─► withdraw ─► rest for a grace period ─► reuse
//! ```

mod placement;

use self::placement::{Origin, Placed, place, write_table};
use super::Capacities;
use super::addresses::Addresses;
use super::installed::{Difference, Installed, InstalledEndpoint, LabelIds, Wanted};
use super::ranges::{Ranges, RowRange};
use super::slots::{Slot, Slots};
use super::steps::{AddressStep, Step};
use crate::model::ObjectName;
use crate::plan::ServicePlan;
use mesh_common::names;
use mesh_common::table::TableReference;
use std::collections::HashMap;
use std::time::Instant;

/// A map had no room for all of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    /// The map.
    pub(super) map: &'static str,
    /// Entries the Service needs beyond what it has.
    pub(super) needed: usize,
    /// Entries there is room for.
    pub(super) room: usize,
}

impl Shortage {
    /// Whether there is room.
    pub(super) fn check(map: &'static str, needed: usize, room: usize) -> Result<(), Self> {
        if needed > room {
            return Err(Self { map, needed, room });
        }
        Ok(())
    }
}

/// All tables.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) labels: LabelIds,
    services: Slots,
    endpoints: Slots,
    ranges: Ranges,
    addresses: Addresses,
    installed: HashMap<ObjectName, Vec<Installed>>,
    /// Tables among them of routed ports.
    routed: usize,
}

/// What one wanted family will stand on. Taken for it are the endpoints, the service id if
/// `is_new`, the range if the table is to be written.
#[derive(Debug)]
struct Reservation {
    difference: Difference,
    is_new: bool,
    service: u32,
    range: RowRange,
    endpoints: Vec<Slot>,
}

impl Tables {
    /// Starts empty.
    pub(super) fn new(capacities: Capacities) -> Self {
        Self {
            labels: LabelIds::default(),
            services: Slots::new(capacities.services),
            endpoints: Slots::new(capacities.endpoints),
            ranges: Ranges::new(capacities.table_rows()),
            addresses: Addresses::new(capacities),
            installed: HashMap::new(),
            routed: 0,
        }
    }

    /// Brings one Service to what `plan` wants, `None`: nothing. The steps are to be carried out in order.
    ///
    /// # Errors
    ///
    /// A shortage leaves everything of this Service as it was.
    pub(super) fn change(
        &mut self,
        name: &ObjectName,
        plan: Option<&ServicePlan>,
        now: Instant,
    ) -> Result<Vec<Step>, Shortage> {
        let wanted = plan.map_or_else(Vec::new, |plan| Wanted::all(plan, &mut self.labels));
        let mut current = self.installed.remove(name).unwrap_or_default();
        let was_routed = routed(&current);
        let reservations = match self.reserve_all(&current, &wanted) {
            Ok(reservations) => reservations,
            Err(shortage) => {
                for family in wanted {
                    family.release(&mut self.labels);
                }
                self.keep(name, current);
                return Err(shortage);
            }
        };

        let mut steps = Vec::new();
        let mut next = Vec::with_capacity(wanted.len());
        for (family, reservation) in wanted.into_iter().zip(reservations) {
            let place = family.place;
            let old = current
                .iter()
                .position(|old| old.place == place)
                .map(|index| current.swap_remove(index));
            next.push(self.install(old, family, reservation, now, &mut steps));
        }
        for gone in current {
            self.withdraw(&gone, now, &mut steps);
        }
        self.routed = self.routed - was_routed + routed(&next);
        self.keep(name, next);
        Ok(steps)
    }

    /// Whether any service port is routed, for whichever callers.
    pub(super) const fn is_any_routed(&self) -> bool {
        self.routed > 0
    }

    /// Frees what has rested for the grace period, but for services; tells whether there is new room.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        let endpoints = self.endpoints.settle(now);
        self.ranges.settle(now) || endpoints
    }

    /// Takes the ids of services that have rested: what was counted for them is to be forgotten before they are freed.
    pub(super) fn rested_services(&mut self, now: Instant) -> Vec<u32> {
        self.services.take_rested(now)
    }

    /// Frees ids of services; tells whether there is new room.
    pub(super) fn free_services(&mut self, ids: Vec<u32>) -> bool {
        let has_room = !ids.is_empty();
        for id in ids {
            self.services.give_back(id);
        }
        has_room
    }

    /// Lets ids of services rest once more.
    pub(super) fn retire_services(&mut self, ids: Vec<u32>, now: Instant) {
        for id in ids {
            self.services.retire(id, now);
        }
    }

    /// The step for the same key as `stale` that writes what stands behind it now.
    pub(super) fn refreshed(&self, stale: AddressStep) -> AddressStep {
        self.addresses.refreshed(stale)
    }

    /// Entries in use, by map.
    pub(super) fn used(&self) -> [(&'static str, usize); 7] {
        let [frontends, endpoint_addresses, workload_addresses, consumers] = self.addresses.used();
        [
            (names::FRONTENDS, frontends),
            (names::SERVICES, self.services.used()),
            (names::TABLE_ROWS, self.ranges.used() as usize),
            (names::ENDPOINTS, self.endpoints.used()),
            (names::ENDPOINT_ADDRESSES, endpoint_addresses),
            (names::WORKLOAD_ADDRESSES, workload_addresses),
            (names::CONSUMERS, consumers),
        ]
    }

    fn keep(&mut self, name: &ObjectName, families: Vec<Installed>) {
        if !families.is_empty() {
            self.installed.insert(name.clone(), families);
        }
    }

    fn reserve_all(
        &mut self,
        current: &[Installed],
        wanted: &[Wanted],
    ) -> Result<Vec<Reservation>, Shortage> {
        self.addresses.check_room(wanted)?;
        let mut reservations = Vec::with_capacity(wanted.len());
        for family in wanted {
            let old = current.iter().find(|old| old.place == family.place);
            match self.reserve(old, family) {
                Ok(reservation) => reservations.push(reservation),
                Err(shortage) => {
                    for reservation in reservations {
                        self.give_back(reservation);
                    }
                    return Err(shortage);
                }
            }
        }
        Ok(reservations)
    }

    fn reserve(
        &mut self,
        current: Option<&Installed>,
        wanted: &Wanted,
    ) -> Result<Reservation, Shortage> {
        let difference = Difference::between(current, wanted);
        let added = difference.added();
        let length = wanted.table_length();
        Shortage::check(names::ENDPOINTS, added, self.endpoints.room())?;
        let service = match current {
            Some(old) => old.service,
            None => {
                let full = Shortage {
                    map: names::SERVICES,
                    needed: 1,
                    room: 0,
                };
                self.services.take().ok_or(full)?.id
            }
        };
        let range = match current {
            Some(old) if !difference.table => Some(old.range),
            _ => self.ranges.take(length),
        };
        let Some(range) = range else {
            if current.is_none() {
                self.services.give_back(service);
            }
            return Err(Shortage {
                map: names::TABLE_ROWS,
                needed: length as usize,
                room: self.ranges.room() as usize,
            });
        };
        Ok(Reservation {
            is_new: current.is_none(),
            service,
            range,
            endpoints: (0..added).map_while(|_| self.endpoints.take()).collect(),
            difference,
        })
    }

    fn give_back(&mut self, reservation: Reservation) {
        for slot in reservation.endpoints {
            self.endpoints.give_back(slot.id);
        }
        if reservation.is_new {
            self.services.give_back(reservation.service);
        }
        if reservation.difference.table {
            self.ranges.give_back(reservation.range);
        }
    }

    fn install(
        &mut self,
        current: Option<Installed>,
        wanted: Wanted,
        reservation: Reservation,
        now: Instant,
        steps: &mut Vec<Step>,
    ) -> Installed {
        let Reservation {
            difference,
            service,
            range,
            endpoints: slots,
            ..
        } = reservation;
        let old = current.as_ref();
        let old_endpoints = old.map_or(&[][..], |old| &old.endpoints);
        let placed = place(&wanted, &difference, old_endpoints, slots);
        let publication = old.map_or(0, |old| old.publication);
        let next = Installed {
            place: wanted.place,
            service,
            publication: publication.wrapping_add(u32::from(difference.table)),
            range,
            affinity_timeout_s: wanted.affinity_timeout_s,
            destination: wanted.destination,
            routing: wanted.routing,
            frontends: wanted.frontends,
            endpoints: placed.iter().map(|placed| placed.endpoint).collect(),
        };
        let removed: Vec<_> = difference
            .removed
            .iter()
            .filter_map(|index| old_endpoints.get(*index).copied())
            .collect();
        for key in next.routing.keys(service) {
            self.addresses.add_consumer(key, steps);
        }
        write_table(&next, &placed, &removed, difference.table, steps);
        if let Some(old) = old {
            self.drop_consumers(old, Some(&next), steps);
        }
        self.move_addresses(old, &next, &placed, &removed, steps);

        for gone in removed {
            self.endpoints.retire(gone.id, now);
        }
        if let Some(old) = current {
            if difference.table {
                self.ranges.retire(old.range, now);
            }
            old.release_labels(&mut self.labels);
        }
        next
    }

    /// Claims the addresses that are new, then lets go of those that are not wanted any more, so that
    /// an address that stays is never without a holder.
    fn move_addresses(
        &mut self,
        old: Option<&Installed>,
        next: &Installed,
        placed: &[Placed],
        removed: &[InstalledEndpoint],
        steps: &mut Vec<Step>,
    ) {
        let old_frontends = old.map_or(&[][..], |old| &old.frontends);
        let has_cluster_ip = !next.frontends.is_empty();
        let had_cluster_ip = !old_frontends.is_empty();
        for key in &next.frontends {
            if !old_frontends.contains(key) {
                self.addresses.claim_frontend(*key, next.service, steps);
            }
        }
        for Placed { endpoint, origin } in placed {
            let is_new = matches!(origin, Origin::New { .. });
            if is_new || has_cluster_ip != had_cluster_ip {
                self.addresses
                    .claim_endpoint(endpoint, has_cluster_ip, steps);
            }
            if !is_new && has_cluster_ip != had_cluster_ip {
                self.addresses
                    .release_endpoint(endpoint, had_cluster_ip, steps);
            }
        }
        for gone in removed {
            self.addresses.release_endpoint(gone, had_cluster_ip, steps);
        }
        for key in old_frontends {
            if !next.frontends.contains(key) {
                self.addresses.release_frontend(*key, next.service, steps);
            }
        }
    }

    /// Takes away the consumers of a table that is published no more, but for those that the next one has.
    fn drop_consumers(&mut self, old: &Installed, next: Option<&Installed>, steps: &mut Vec<Step>) {
        let kept: Vec<_> = next
            .into_iter()
            .flat_map(|next| next.routing.keys(next.service))
            .collect();
        for key in old.routing.keys(old.service) {
            if !kept.contains(&key) {
                self.addresses.remove_consumer(key, steps);
            }
        }
    }

    fn withdraw(&mut self, gone: &Installed, now: Instant, steps: &mut Vec<Step>) {
        let had_cluster_ip = !gone.frontends.is_empty();
        for key in &gone.frontends {
            self.addresses.release_frontend(*key, gone.service, steps);
        }
        for endpoint in &gone.endpoints {
            self.addresses
                .release_endpoint(endpoint, had_cluster_ip, steps);
        }
        steps.push(Step::Publish {
            service: gone.service,
            reference: TableReference::NONE,
        });
        self.drop_consumers(gone, None, steps);
        for endpoint in &gone.endpoints {
            if endpoint.is_in_use() {
                steps.push(endpoint.leaves());
            }
            self.endpoints.retire(endpoint.id, now);
        }
        self.services.retire(gone.service, now);
        self.ranges.retire(gone.range, now);
        gone.release_labels(&mut self.labels);
    }
}

fn routed(tables: &[Installed]) -> usize {
    let routed = tables.iter().filter(|table| table.routing.is_any());
    routed.count()
}

#[cfg(test)]
mod tests;
