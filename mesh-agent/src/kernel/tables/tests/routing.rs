//! Whose connects go to the proxy.

use super::simulated::Kernel;
use super::{CAPACITIES, apply, name, plan};
use crate::kernel::steps::{AddressStep, Step};
use crate::kernel::tables::Tables;
use crate::plan::{Routing, ServicePlan};
use std::collections::BTreeMap;
use std::time::Instant;

fn routed(is_routed_for_all: bool, consumers: &[&str]) -> ServicePlan {
    let mut plan = plan(1, false, 0, &BTreeMap::from([(1, 1)]));
    plan.ports[0].routing = Routing {
        is_routed_for_all,
        consumer_namespaces: consumers.iter().map(|name| (*name).into()).collect(),
        is_closed_on_failure: false,
    };
    plan
}

/// What concerns consumers and publications, in order: additions, removals, publications.
fn order(steps: &[Step]) -> String {
    let letter = |step: &Step| match step {
        Step::Address(AddressStep::Consumer(_, true)) => Some('+'),
        Step::Address(AddressStep::Consumer(_, false)) => Some('-'),
        Step::Publish { .. } => Some('p'),
        Step::Address(_) | Step::Rows { .. } | Step::Endpoint { .. } | Step::State { .. } => None,
    };
    steps.iter().filter_map(letter).collect()
}

#[test]
fn consumers_stand_from_before_their_table_is_published_until_after_it_is_replaced() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    let direct = routed(false, &[]);
    for (plan, expected, consumers, is_any_routed) in [
        (Some(&direct), "p", 0, false),
        (Some(&routed(false, &["a", "b"])), "++p", 2, true),
        // The same header: the table stays.
        (Some(&routed(false, &["b", "c"])), "+-", 2, true),
        (Some(&routed(true, &["b"])), "p--", 0, true),
        (Some(&routed(false, &["b"])), "+p", 1, true),
        (Some(&direct), "p-", 0, false),
        (Some(&routed(false, &["b"])), "+p", 1, true),
        (None, "p-", 0, false),
    ] {
        let steps = tables.change(&name(1), plan, now).unwrap();
        for step in &steps {
            kernel.carry_out(step);
            kernel.look();
        }

        assert_eq!(order(&steps), expected);
        assert_eq!(kernel.consumers.len(), consumers);
        assert_eq!(tables.is_any_routed(), is_any_routed);
    }
}

#[test]
fn a_refused_write_is_tried_again_as_it_is_wanted_by_then() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    apply(&mut tables, &mut kernel, &routed(false, &["a"]), now);
    let key = *kernel.consumers.first().unwrap();
    let wanted = |tables: &Tables| tables.refreshed(AddressStep::Consumer(key, true));

    assert_eq!(wanted(&tables), AddressStep::Consumer(key, true));
    apply(&mut tables, &mut kernel, &routed(false, &[]), now);
    assert_eq!(wanted(&tables), AddressStep::Consumer(key, false));
}
