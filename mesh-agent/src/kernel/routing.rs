//! What a table says of the proxy: whose connects go to it, and what they count for.

use super::installed::{Destination, LabelIds};
use crate::observe::{DestinationLabels, Path};
use crate::plan::Routing;
use mesh_common::capture::{ConsumerKey, namespace_id};
use mesh_common::table::flag;
use std::collections::BTreeSet;

/// What is wanted, or stands in the kernel, for one table. Holds a use of its label id until released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableRouting {
    /// Bits of the table's header.
    pub(super) flags: u32,
    /// What connections to the proxy count for; zero: there are none.
    pub(super) destination: u32,
    /// Numbers of the namespaces whose callers are routed where not all are.
    consumers: BTreeSet<u32>,
}

impl TableRouting {
    /// What a plan wants.
    pub(super) fn new(
        routing: &Routing,
        service: DestinationLabels,
        labels: &mut LabelIds,
    ) -> Self {
        if routing.is_direct() {
            return Self::default();
        }
        let mut flags = 0;
        let mut consumers = BTreeSet::new();
        if routing.is_routed_for_all {
            flags |= flag::ROUTED;
        } else {
            flags |= flag::ROUTED_FOR_CONSUMERS;
            let names = routing.consumer_namespaces.iter();
            consumers.extend(names.map(|name| namespace_id(name)));
        }
        if routing.is_closed_on_failure {
            flags |= flag::CLOSED_ON_FAILURE;
        }
        Self {
            flags,
            destination: labels.destinations.acquire(Destination {
                labels: service,
                path: Path::Routed,
            }),
            consumers,
        }
    }

    /// Whether any caller's connects are routed.
    pub(super) const fn is_any(&self) -> bool {
        self.flags != 0
    }

    /// Whether the header of the table is the same.
    pub(super) const fn has_header_of(&self, other: &Self) -> bool {
        self.flags == other.flags && self.destination == other.destination
    }

    /// The keys that stand for it in `CONSUMERS`.
    pub(super) fn keys(&self, service: u32) -> impl Iterator<Item = ConsumerKey> + '_ {
        let key = move |namespace: &u32| ConsumerKey {
            service,
            namespace: *namespace,
        };
        self.consumers.iter().map(key)
    }

    /// Gives back the label id.
    pub(super) fn release(&self, labels: &mut LabelIds) {
        labels.destinations.release(self.destination);
    }
}

#[cfg(test)]
mod tests {
    use super::TableRouting;
    use crate::kernel::installed::LabelIds;
    use crate::observe::{DestinationLabels, Path};
    use crate::plan::Routing;
    use mesh_common::capture::namespace_id;
    use mesh_common::table::flag;
    use std::sync::Arc;

    fn routing(is_routed_for_all: bool, consumer: &str, is_closed_on_failure: bool) -> Routing {
        let consumers = Some(consumer).filter(|name| !name.is_empty());
        Routing {
            is_routed_for_all,
            consumer_namespaces: consumers.into_iter().map(Arc::from).collect(),
            is_closed_on_failure,
        }
    }

    fn service() -> DestinationLabels {
        DestinationLabels {
            service: Arc::from("inventory"),
            namespace: Arc::from("shop"),
            workload: Arc::from(""),
        }
    }

    #[test]
    fn flags_say_whose_connects_are_routed_and_what_if_they_cannot_be() {
        let till = namespace_id("till");
        for (routing, flags, consumers) in [
            (routing(false, "", true), 0, vec![]),
            (routing(true, "", false), flag::ROUTED, vec![]),
            (routing(true, "till", false), flag::ROUTED, vec![]),
            (
                routing(true, "", true),
                flag::ROUTED | flag::CLOSED_ON_FAILURE,
                vec![],
            ),
            (
                routing(false, "till", false),
                flag::ROUTED_FOR_CONSUMERS,
                vec![till],
            ),
        ] {
            let mut labels = LabelIds::default();

            let table = TableRouting::new(&routing, service(), &mut labels);

            assert_eq!(table.flags, flags);
            let namespaces: Vec<_> = table.keys(5).map(|key| key.namespace).collect();
            assert_eq!(namespaces, consumers);
            assert!(table.keys(5).all(|key| key.service == 5));
            let destination = labels.destinations.names().get(table.destination);
            let path = destination.map(|destination| destination.path);
            assert_eq!(path, table.is_any().then_some(Path::Routed));
        }
    }
}
