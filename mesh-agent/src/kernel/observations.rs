//! Reads the RPCs that the meter chose to tell of, and says which it shall choose.

use super::KernelError;
use super::aborted::{self, Aborted};
use super::ends::Ends;
use super::maps::{LoadedMaps, duplicate};
use super::rpc_names::{NameMaps, RpcNames};
use super::texts;
use super::waker::Waker;
use crate::observe::{ObservedRpc, TraceParent};
use aya::maps::{Array, Map, MapData, RingBuf};
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{Observation, Sampling, Side, Stream, reason};
use mesh_common::names;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};
use std::os::fd::AsFd;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};
use zerocopy::{FromBytes, FromZeros};

/// RPCs read at one go, so that others get their turn.
const READ_MAX: usize = 1_024;

/// The reading end of the meter's observations. Lives on a thread of its own, which waits for them.
pub struct Observations {
    map: MapData,
    /// The map in memory, while the meter tells of anything: two megabytes.
    ring: Option<RingBuf<MapData>>,
    sampling: Array<MapData, Sampling>,
    names: RpcNames,
    aborted: Receiver<Box<Observation>>,
    chosen: Sampling,
    waker: Waker,
}

impl Observations {
    pub(super) fn new(maps: &LoadedMaps, ends: Ends) -> Result<(Self, Aborted), KernelError> {
        let name_maps = NameMaps {
            host_sources: maps.duplicate(names::HOST_SOURCES)?,
            methods: maps.hash(names::METHODS)?,
            candidates: maps.lru_hash(names::CANDIDATES)?,
        };
        let sampling = Map::Array(maps.duplicate(names::SAMPLING)?);
        let waker = Waker::new().map_err(KernelError::system("make an eventfd"))?;
        let (told, aborted) = Aborted::new(waker.clone());
        let observations = Self {
            map: maps.duplicate(names::OBSERVED)?,
            ring: None,
            sampling: Array::try_from(sampling)
                .map_err(KernelError::map("open", names::SAMPLING))?,
            names: RpcNames::new(ends, name_maps),
            aborted,
            chosen: Sampling::new_zeroed(),
            waker,
        };
        Ok((observations, told))
    }

    /// What ends [`Observations::wait`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Says which RPCs the meter shall tell of from now on.
    ///
    /// # Errors
    /// The kernel refused to take it.
    pub fn choose(&mut self, sampling: Sampling) -> Result<(), KernelError> {
        self.chosen = sampling;
        let is_any = sampling != Sampling::new_zeroed();
        if is_any && self.ring.is_none() {
            self.ring = Some(self.map_ring()?);
        }
        self.sampling
            .set(0, sampling, 0)
            .map_err(KernelError::map("write", names::SAMPLING))?;
        if !is_any {
            self.ring = None;
        }
        Ok(())
    }

    /// Maps the ring, and passes over what nobody has read in time.
    fn map_ring(&self) -> Result<RingBuf<MapData>, KernelError> {
        let map = Map::RingBuf(duplicate(names::OBSERVED, &self.map)?);
        let mut ring = RingBuf::try_from(map).map_err(KernelError::map("open", names::OBSERVED))?;
        while ring.next().is_some() {}
        Ok(ring)
    }

    /// Waits until there is something to read, somebody wakes it, or `limit` has passed.
    ///
    /// # Errors
    /// If the kernel cannot wait.
    pub fn wait(&self, limit: Duration) -> Result<(), KernelError> {
        let timeout = Timespec::try_from(limit).ok();
        let woken = PollFd::from_borrowed_fd(self.waker.as_fd(), PollFlags::IN);
        let written = self.ring.as_ref();
        let written = written.map(|ring| PollFd::from_borrowed_fd(ring.as_fd(), PollFlags::IN));
        let mut ready: Vec<_> = std::iter::once(woken).chain(written).collect();
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {
                self.waker.clear();
                Ok(())
            }
            Err(error) => Err(KernelError::system("wait for observations")(error)),
        }
    }

    /// Hands over what is there, in the order in which the RPCs ended, but not more than can be dealt with at one
    /// go; says whether there may be more.
    pub fn read(&mut self, each: &mut dyn FnMut(ObservedRpc)) -> bool {
        let clock = Clock::now();
        let mut aborted = 0;
        for rpc in self.aborted.try_iter().take(READ_MAX) {
            aborted += 1;
            let told = choose(*rpc, &self.chosen);
            let rpc = describe(&told, &mut self.names, clock);
            rpc.into_iter().for_each(&mut *each);
        }
        if aborted == READ_MAX {
            return true;
        }
        let Some(ring) = &mut self.ring else {
            return false;
        };
        for _ in 0..READ_MAX {
            let Some(record) = ring.next() else {
                return false;
            };
            let observation = Observation::read_from_bytes(&record).ok();
            // Gives the kernel its room back before the names are looked up.
            drop(record);
            let rpc = observation.and_then(|seen| describe(&seen, &mut self.names, clock));
            if let Some(rpc) = rpc {
                each(rpc);
            }
        }
        true
    }
}

/// The kernel's clock and the calendar's at one moment.
#[derive(Clone, Copy, Debug)]
struct Clock {
    monotonic_ns: u64,
    calendar: SystemTime,
    now: Instant,
}

impl Clock {
    fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self {
            monotonic_ns: seconds * 1_000_000_000 + nanos,
            calendar: SystemTime::now(),
            now: Instant::now(),
        }
    }

    /// What the calendar said at a moment of the kernel's clock that has passed.
    fn calendar(self, at_ns: u64) -> SystemTime {
        self.calendar - Duration::from_nanos(self.monotonic_ns.saturating_sub(at_ns))
    }
}

/// Says why an RPC that ended with its connection is to be shown.
fn choose(mut aborted: Observation, sampling: &Sampling) -> Observation {
    let duration_ns = aborted.ended_ns.saturating_sub(aborted.stream.started_ns);
    let mut random = [0; 4];
    // Fewer than 256 bytes come whole (getrandom(2)); were there none, the RPC would be taken into the sample.
    getrandom(&mut random, GetRandomFlags::empty()).ok();
    let random = u32::from_ne_bytes(random);
    aborted.reasons = aborted::choose(sampling, parent(&aborted.stream), duration_ns, random);
    aborted
}

fn parent(stream: &Stream) -> Option<TraceParent> {
    let value = texts::read(&stream.trace_parent, stream.trace_parent_length)?;
    TraceParent::parse(&value)
}

/// `None`: nothing speaks for showing it.
fn describe(observation: &Observation, names: &mut RpcNames, clock: Clock) -> Option<ObservedRpc> {
    let stream = &observation.stream;
    let parent = parent(stream);
    let reasons = upheld(observation.reasons, parent);
    if reasons == 0 {
        return None;
    }
    let since_start = |at_ns: u64| Duration::from_nanos(at_ns.saturating_sub(stream.started_ns));
    Some(ObservedRpc {
        source: names.source(stream.source, clock.now),
        destination: names.destination(stream.destination),
        method: names.method(observation),
        status: StatusCode::from_u32(observation.status),
        side: Side::from_u32(observation.side).unwrap_or(Side::Client),
        started: clock.calendar(stream.started_ns),
        duration: since_start(observation.ended_ns),
        first_response: (stream.first_ns != 0).then(|| since_start(stream.first_ns)),
        request_bytes: stream.request_bytes,
        response_bytes: stream.response_bytes,
        parent,
        reasons,
        routed: None,
    })
}

/// Takes back that the parent was sampled, which the kernel supposes of a `traceparent` in Huffman's code.
fn upheld(reasons: u32, parent: Option<TraceParent>) -> u32 {
    if parent.is_some_and(|parent| parent.is_sampled) {
        reasons
    } else {
        reasons & !reason::PARENT
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, upheld};
    use crate::observe::TraceParent;
    use mesh_common::meter::record::reason::{FAILED, PARENT};
    use std::time::{Duration, Instant, SystemTime};

    #[test]
    fn a_moment_of_the_kernel_s_clock_has_a_date() {
        let clock = Clock {
            monotonic_ns: 5_000_000_000,
            calendar: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
            now: Instant::now(),
        };
        for (at_ns, expected_ms) in [
            (5_000_000_000, 100_000),
            (4_250_000_000, 99_250),
            // Later than the clock was read: now.
            (6_000_000_000, 100_000),
        ] {
            let date = clock.calendar(at_ns);
            let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(expected_ms);
            assert_eq!(date, expected);
        }
    }

    #[test]
    fn the_parent_is_no_reason_unless_it_is_sampled() {
        let parent = |is_sampled| {
            Some(TraceParent {
                trace_id: [1; 16],
                span_id: [2; 8],
                is_sampled,
            })
        };
        for (reasons, parent, expected) in [
            (PARENT, parent(true), PARENT),
            (PARENT, parent(false), 0),
            (PARENT, None, 0),
            (PARENT | FAILED, parent(false), FAILED),
        ] {
            assert_eq!(upheld(reasons, parent), expected);
        }
    }
}
