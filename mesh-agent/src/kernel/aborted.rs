//! RPCs that ended with their connection: the kernel saw no end of them, so the thread that sweeps them up tells the one
//! that tells of single RPCs.

use super::waker::Waker;
use crate::observe::TraceParent;
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{Observation, Sampling, Side, Stream, StreamKey, reason};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// RPCs that may wait: as many as a few busy connections have open at once. The queue is allocated whole, hence boxes.
const WAITING_MAX: usize = 2_048;

/// The end that tells.
#[derive(Debug)]
pub(super) struct Aborted {
    queue: SyncSender<Box<Observation>>,
    waker: Waker,
    lost: u64,
}

impl Aborted {
    /// Makes the queue; `waker` wakes its other end.
    pub(super) fn new(waker: Waker) -> (Self, Receiver<Box<Observation>>) {
        let (queue, receiver) = sync_channel(WAITING_MAX);
        let aborted = Self {
            queue,
            waker,
            lost: 0,
        };
        (aborted, receiver)
    }

    /// Tells of an RPC. What finds no room is lost.
    pub(super) fn tell(
        &mut self,
        key: &StreamKey,
        stream: &Stream,
        at_ns: u64,
        label: u64,
        side: Side,
    ) {
        let observation = Observation {
            stream: *stream,
            connection: key.connection,
            ended_ns: at_ns,
            method: label,
            stream_id: key.stream,
            status: StatusCode::Unavailable as u32,
            reasons: 0,
            side: side as u32,
        };
        if self.queue.try_send(Box::new(observation)).is_ok() {
            self.waker.wake();
        } else {
            self.lost += 1;
        }
    }

    /// RPCs that found no room.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}

/// Why an RPC that failed is to be told of, as the kernel would choose.
pub(super) fn choose(
    sampling: &Sampling,
    parent: Option<TraceParent>,
    duration_ns: u64,
    random: u32,
) -> u32 {
    let follows = parent.filter(|_| sampling.parent != 0);
    let is_sampled = match follows {
        Some(parent) => parent.is_sampled,
        None => random < sampling.ratio,
    };
    let by_sampling = if follows.is_some() {
        reason::PARENT
    } else {
        reason::SAMPLED
    };
    let is_slow = sampling.slow_ns != 0 && duration_ns >= sampling.slow_ns;
    [
        (is_sampled, by_sampling),
        (is_slow, reason::SLOW),
        (sampling.failed != 0, reason::FAILED),
        (sampling.tap != 0, reason::TAP),
    ]
    .into_iter()
    .filter(|(is_so, _)| *is_so)
    .fold(0, |reasons, (_, bit)| reasons | bit)
}

#[cfg(test)]
mod tests {
    use super::choose;
    use crate::observe::TraceParent;
    use mesh_common::meter::record::Sampling;
    use mesh_common::meter::record::reason::{FAILED, PARENT, SAMPLED, SLOW, TAP};
    use zerocopy::FromZeros as _;

    #[test]
    fn an_rpc_is_chosen_as_the_kernel_chooses() {
        let none = Sampling::new_zeroed();
        let all = Sampling {
            slow_ns: 1_000,
            ratio: 100,
            failed: 1,
            parent: 1,
            tap: 1,
            reserved: 0,
        };
        let parent = |is_sampled| {
            Some(TraceParent {
                trace_id: [1; 16],
                span_id: [2; 8],
                is_sampled,
            })
        };
        let rest = FAILED | TAP;
        let alone = Sampling { parent: 0, ..all };
        for (sampling, parent, duration_ns, random, expected) in [
            (none, parent(true), u64::MAX, 0, 0),
            (all, None, 999, 99, rest | SAMPLED),
            (all, None, 1_000, 100, rest | SLOW),
            (all, parent(true), 0, 100, rest | PARENT),
            (all, parent(false), 0, 0, rest),
            (alone, parent(false), 0, 0, rest | SAMPLED),
        ] {
            assert_eq!(choose(&sampling, parent, duration_ns, random), expected);
        }
    }
}
