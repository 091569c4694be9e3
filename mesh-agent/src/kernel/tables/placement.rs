//! Where wanted endpoints get their ids, and the writes of one table.

use crate::kernel::installed::{Difference, Installed, InstalledEndpoint, Wanted};
use crate::kernel::slots::Slot;
use crate::kernel::steps::{EndpointState, Step};
use mesh_common::table::TableReference;

/// An endpoint with its id, and where it got that from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) endpoint: InstalledEndpoint,
    pub(super) origin: Origin,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    New { generation: u32 },
    Kept { was: EndpointState },
}

/// Gives each wanted endpoint the id it has already, or a new one.
pub(super) fn place(
    wanted: &Wanted,
    difference: &Difference,
    old: &[InstalledEndpoint],
    slots: Vec<Slot>,
) -> Vec<Placed> {
    let mut slots = slots.into_iter();
    let kept = |kept: Option<usize>| kept.and_then(|index| old.get(index));
    wanted
        .endpoints
        .iter()
        .zip(&difference.kept)
        .filter_map(|(wanted, index)| {
            let (id, origin) = match kept(*index) {
                Some(old) => (old.id, Origin::Kept { was: old.state() }),
                None => {
                    let Slot { id, generation } = slots.next()?;
                    (id, Origin::New { generation })
                }
            };
            let endpoint = InstalledEndpoint {
                id,
                wanted: *wanted,
            };
            Some(Placed { endpoint, origin })
        })
        .collect()
}

/// Records, rows, flags, then the one write that makes them count. The flags come before it, so that an
/// affinity to an endpoint that goes is ignored from the new table's first moment.
pub(super) fn write_table(
    next: &Installed,
    placed: &[Placed],
    removed: &[InstalledEndpoint],
    is_rewritten: bool,
    steps: &mut Vec<Step>,
) {
    for Placed { endpoint, origin } in placed {
        if let Origin::New { generation } = origin {
            steps.push(Step::Endpoint {
                id: endpoint.id,
                record: endpoint.record(next.service, *generation),
            });
        }
    }
    if is_rewritten {
        steps.push(next.rows());
    }
    for Placed { endpoint, origin } in placed {
        if let Origin::Kept { was } = origin
            && *was != endpoint.state()
        {
            steps.push(Step::State {
                id: endpoint.id,
                state: endpoint.state(),
            });
        }
    }
    for gone in removed.iter().filter(|gone| gone.is_in_use()) {
        steps.push(gone.leaves());
    }
    if is_rewritten {
        steps.push(Step::Publish {
            service: next.service,
            reference: TableReference::new(next.range.offset, next.publication),
        });
    }
}
