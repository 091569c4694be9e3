//! Whether the agent does its job yet, and if not, what it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Something that must have happened before the agent is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The kernel accepted the programs and maps.
    KernelLoaded,
    /// The first plan is in the kernel's maps.
    FirstPlanApplied,
    /// The programs are attached to the cgroup, and they and the maps are pinned.
    AttachedAndPinned,
}

impl Step {
    const ALL: [(Self, &'static str); 3] = [
        (Self::KernelLoaded, "the kernel programs are not loaded yet"),
        (
            Self::FirstPlanApplied,
            "the first configuration is not in the kernel yet",
        ),
        (
            Self::AttachedAndPinned,
            "the programs are not attached and pinned yet",
        ),
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Bit of "told to stop", beside the bits of the steps.
const STOPPING: u8 = 0x80;

/// Shared readiness: written as steps are done, read by `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    done: Arc<AtomicU8>,
}

impl Readiness {
    /// Notes that a step is done.
    pub fn done(&self, step: Step) {
        self.done.fetch_or(step.bit(), Ordering::Release);
    }

    /// Notes that the agent was told to stop: it is not ready from now on.
    pub fn stopping(&self) {
        self.done.fetch_or(STOPPING, Ordering::Release);
    }

    /// What the agent waits for; empty: ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let done = self.done.load(Ordering::Acquire);
        let steps = Step::ALL
            .iter()
            .filter(|(step, _)| done & step.bit() == 0)
            .map(|(_, reason)| *reason);
        let stopping = (done & STOPPING != 0).then_some("the agent is shutting down");
        steps.chain(stopping).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Readiness, Step};

    #[test]
    fn ready_only_after_every_step_and_never_again_once_stopping() {
        let readiness = Readiness::default();
        assert_eq!(readiness.missing().len(), Step::ALL.len());

        for (step, reason) in Step::ALL {
            assert!(readiness.missing().contains(&reason));
            readiness.done(step);
            assert!(!readiness.missing().contains(&reason));
        }
        assert!(readiness.missing().is_empty());

        readiness.stopping();
        assert_eq!(readiness.missing(), ["the agent is shutting down"]);
    }
}
