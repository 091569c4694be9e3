//! Carries plans into the kernel.

use super::KernelError;
use super::error::Cause;
use super::fill::Fill;
use super::listeners::Demand;
use super::maps::{LoadedMaps, TableMaps};
use super::pins::Pins;
use super::programs::Programs;
use super::retirement::Retirement;
use super::service_methods::ServiceMethods;
use super::steps::{AddressStep, Step};
use super::tables::{Shortage, Tables};
use crate::model::ObjectName;
use crate::plan::{ServiceChange, ServicePlan};
use mesh_common::names;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The only writer of services, endpoints and addresses in the kernel. Owns the programs until they are
/// attached, and the pin directory for as long as it lives; dropping it leaves everything in force.
#[derive(Debug)]
pub struct Syncer {
    tables: Tables,
    maps: TableMaps,
    retirement: Retirement,
    methods: ServiceMethods,
    demand: Demand,
    fill: Arc<Fill>,
    /// Services whose last change found no room.
    waiting: BTreeMap<ObjectName, Waiting>,
    /// Whether ids or rows became free since those were tried last.
    has_room: bool,
    /// Addresses the kernel refused although there was room; their wanted state is asked from `tables`.
    stale: Vec<AddressStep>,
    pins: Pins,
    unattached: Option<Unattached>,
}

/// The maps it works on.
#[derive(Debug)]
pub(super) struct SyncerMaps {
    pub(super) tables: TableMaps,
    pub(super) retirement: Retirement,
    pub(super) methods: ServiceMethods,
    pub(super) demand: Demand,
}

/// What is needed once, to attach.
#[derive(Debug)]
pub(super) struct Unattached {
    pub(super) programs: Programs,
    pub(super) maps: LoadedMaps,
}

/// A change that found no room.
#[derive(Debug)]
struct Waiting {
    plan: Option<Arc<ServicePlan>>,
    shortage: Shortage,
}

/// What became of a set of changes.
#[derive(Clone, Debug, Default)]
pub struct ApplyReport {
    /// Services whose plan is now in force, those that waited included.
    pub applied: usize,
    /// Writes to the kernel.
    pub writes: usize,
    /// Services among them that could not be brought into force, and failures of single writes.
    pub problems: Vec<ApplyProblem>,
}

/// Something that is not in force as planned. It is tried again when room appears.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ApplyProblem {
    /// The Service (`namespace/name`) that keeps what was in force before; `None`: a single address.
    pub service: Option<String>,
    /// The map that is full or refused a write.
    pub map: &'static str,
    /// What happened and what to do.
    pub message: String,
}

impl Syncer {
    pub(super) fn new(
        tables: Tables,
        maps: SyncerMaps,
        fill: Arc<Fill>,
        pins: Pins,
        unattached: Unattached,
    ) -> Self {
        let SyncerMaps {
            tables: table_maps,
            retirement,
            methods,
            demand,
        } = maps;
        Self {
            tables,
            maps: table_maps,
            retirement,
            methods,
            demand,
            fill,
            waiting: BTreeMap::new(),
            has_room: false,
            stale: Vec::new(),
            pins,
            unattached: Some(unattached),
        }
    }

    /// Attaches the programs to the cgroup, pins everything and replaces what an earlier agent left. The
    /// first plan should be applied before, so that no connection meets empty tables.
    ///
    /// # Errors
    ///
    /// The programs are attached already, or were refused; then nothing of them remains, and what an
    /// earlier agent left stays in force.
    pub fn attach_and_pin(&mut self) -> Result<(), KernelError> {
        let Unattached { mut programs, maps } =
            self.unattached.take().ok_or(KernelError::Attached)?;
        let next = self.pins.prepare()?;
        let attached = maps
            .iter()
            .try_for_each(|(name, map)| {
                let path = next.map(name);
                map.pin(&path).map_err(|source| KernelError::Pin {
                    path,
                    cause: Cause::new(&source),
                })
            })
            .and_then(|()| programs.attach(&next))
            .and_then(|()| self.pins.replace(&next));
        if attached.is_err()
            && let Err(error) = next.abandon()
        {
            tracing::warn!(%error, "some pins of the programs that could not be attached remain");
        }
        attached
    }

    /// Brings changes into force in their order. A Service for which there is no room keeps what it has, is
    /// reported, and tried again by [`Self::maintain`].
    pub fn apply(&mut self, changes: &[ServiceChange], now: Instant) -> ApplyReport {
        self.has_room |= self.tables.settle(now);
        let mut report = ApplyReport::default();
        for change in changes {
            self.waiting.remove(&change.name);
            self.bring_into_force(&change.name, change.new.clone(), now, &mut report);
        }
        self.publish_fill();
        report
    }

    /// Does what time makes possible: reuses ids and rows that have rested, tries again what found no room, and
    /// removes counts whose destination is gone. To be called about once a second; the work is bounded.
    pub fn maintain(&mut self, now: Instant) -> ApplyReport {
        self.has_room |= self.tables.settle(now);
        let mut report = ApplyReport::default();
        self.free_services(now, &mut report);
        for stale in std::mem::take(&mut self.stale) {
            let step = self.tables.refreshed(stale);
            self.write(&Step::Address(step), &mut report);
        }
        if std::mem::take(&mut self.has_room) {
            for (name, waiting) in std::mem::take(&mut self.waiting) {
                self.bring_into_force(&name, waiting.plan, now, &mut report);
            }
        }
        if let Err(error) = self.retirement.sweep(&mut self.tables.labels, now) {
            report.problems.push(ApplyProblem {
                service: None,
                map: names::CONNECTIONS,
                message: error.to_string(),
            });
        }
        self.publish_fill();
        report
    }

    /// Everything that is not in force as planned right now.
    #[must_use]
    pub fn problems(&self) -> Vec<ApplyProblem> {
        self.waiting
            .iter()
            .map(|(name, waiting)| ApplyProblem::no_room(name, waiting.shortage))
            .collect()
    }

    /// Frees ids of services that have rested, without what methods they had.
    fn free_services(&mut self, now: Instant, report: &mut ApplyReport) {
        let rested = self.tables.rested_services(now);
        match self.methods.forget(&rested) {
            Ok(()) => self.has_room |= self.tables.free_services(rested),
            Err(error) => {
                self.tables.retire_services(rested, now);
                report.problems.push(ApplyProblem {
                    service: None,
                    map: names::METHODS,
                    message: format!("{error}; tried again every second"),
                });
            }
        }
    }

    fn bring_into_force(
        &mut self,
        name: &ObjectName,
        plan: Option<Arc<ServicePlan>>,
        now: Instant,
        report: &mut ApplyReport,
    ) {
        let steps = match self.tables.change(name, plan.as_deref(), now) {
            Ok(steps) => steps,
            Err(shortage) => {
                self.fill.count_full(shortage.map);
                report.problems.push(ApplyProblem::no_room(name, shortage));
                self.waiting
                    .insert(name.clone(), Waiting { plan, shortage });
                return;
            }
        };
        for step in &steps {
            self.write(step, report);
        }
        report.applied += 1;
        self.demand.set(self.tables.is_any_routed());
    }

    fn write(&mut self, step: &Step, report: &mut ApplyReport) {
        report.writes += 1;
        if let Err((address, error)) = self.maps.write(step) {
            report.problems.push(ApplyProblem {
                service: None,
                map: address.map(),
                message: format!("{error}; tried again every second"),
            });
            self.stale.push(address);
        }
    }

    fn publish_fill(&self) {
        for (map, entries) in self.tables.used() {
            self.fill.set_entries(map, entries);
        }
        let short = self.waiting.values().map(|waiting| waiting.shortage.map);
        self.fill.set_waiting(short);
    }
}

impl ApplyProblem {
    fn no_room(name: &ObjectName, shortage: Shortage) -> Self {
        let Shortage { map, needed, room } = shortage;
        Self {
            service: Some(name.to_string()),
            map,
            message: format!(
                "map {map} has room for {room} more entries, {name} needs {needed}: it keeps what is in force; \
                 start the agent with a larger {}",
                knob(map)
            ),
        }
    }
}

/// The setting that makes a map larger.
fn knob(map: &str) -> &'static str {
    match map {
        names::FRONTENDS | names::SERVICES => "--service-capacity",
        _ => "--endpoint-capacity",
    }
}
