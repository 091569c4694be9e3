//! When a silent connection to an endpoint is given up or gets a PING (gRFC A8): the decision, without the connection.

use std::time::{Duration, Instant};

/// What a look at a connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// It has had no streams for long: it leaves the pool.
    Close,
    /// It has streams, and nothing came for long.
    Ping,
}

/// What is known of a connection when it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) now: Instant,
    /// Bytes read from it so far.
    pub(super) read_bytes: u64,
    /// Whether it has no streams. One that has left the pool has some, or it would have ended.
    pub(super) is_idle: bool,
    /// How long it may be silent with streams before it gets a PING.
    pub(super) ping: Duration,
}

/// How long nothing has come from a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    idle_max: Duration,
    read_bytes: u64,
    since: Instant,
}

impl Silence {
    /// Of a connection that is made now; without streams it is closed after `idle_max`.
    pub(super) const fn new(now: Instant, idle_max: Duration) -> Self {
        Self {
            idle_max,
            read_bytes: 0,
            since: now,
        }
    }

    /// What is due, and how long to wait before the next look.
    pub(super) fn look(&mut self, look: Look) -> (Due, Duration) {
        if look.read_bytes != self.read_bytes {
            self.read_bytes = look.read_bytes;
            self.since = look.now;
        }
        let silent = look.now.saturating_duration_since(self.since);
        if look.is_idle && silent >= self.idle_max {
            return (Due::Close, look.ping);
        }
        if look.is_idle {
            // A stream may begin at any time, and be silent from then on.
            return (Due::Nothing, look.ping.min(self.idle_max - silent));
        }
        if silent < look.ping {
            return (Due::Nothing, look.ping - silent);
        }
        self.since = look.now;
        (Due::Ping, look.ping)
    }
}

#[cfg(test)]
mod tests {
    use super::{Due, Look, Silence};
    use crate::proxy::PoolTimes;
    use std::time::{Duration, Instant};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Looks as often as is asked for. `busy_from`, `busy_to`: the minutes between which there is a stream, which is silent.
    fn due(minutes: u32, busy_from: u32, busy_to: u32) -> Vec<(u32, Due)> {
        let times = PoolTimes::default();
        let begin = Instant::now();
        let mut silence = Silence::new(begin, times.idle);
        let mut now = begin + times.ping.min(times.idle);
        let mut seen = Vec::new();
        while now < begin + minutes * MINUTE {
            let age = now - begin;
            let (due, wait) = silence.look(Look {
                now,
                read_bytes: 0,
                is_idle: !(busy_from * MINUTE..busy_to * MINUTE).contains(&age),
                ping: times.ping,
            });
            assert!(wait > Duration::ZERO, "{age:?}");
            if due != Due::Nothing {
                seen.push((u32::try_from(age.as_secs() / 60).unwrap(), due));
            }
            if due == Due::Close {
                break;
            }
            now += wait;
        }
        seen
    }

    #[test]
    fn an_idle_connection_gets_no_ping_and_is_closed_after_half_an_hour() {
        assert_eq!(due(29, 0, 0), []);
        assert_eq!(due(60, 0, 0), [(30, Due::Close)]);
    }

    #[test]
    fn a_silent_stream_gets_a_ping_now_and_then() {
        assert_eq!(due(5, 0, 60), []);
        let pings: Vec<u32> = due(60, 0, 60)
            .into_iter()
            .map(|(at, due)| {
                assert_eq!(due, Due::Ping);
                at
            })
            .collect();
        assert_eq!(pings, [5, 10, 15, 20, 25, 31, 36, 41, 46, 51, 56]);
    }

    #[test]
    fn a_stream_that_begins_after_a_long_idle_time_does_not_wait_for_its_end() {
        let seen = due(29, 12, 29);
        assert_eq!(seen.first(), Some(&(15, Due::Ping)), "{seen:?}");
    }

    #[test]
    fn what_comes_ends_the_silence() {
        let begin = Instant::now();
        let mut silence = Silence::new(begin, 30 * MINUTE);
        let mut at = |minutes: u32, read_bytes: u64| {
            silence.look(Look {
                now: begin + minutes * MINUTE,
                read_bytes,
                is_idle: false,
                ping: 5 * MINUTE,
            })
        };
        assert_eq!(at(4, 1), (Due::Nothing, 5 * MINUTE));
        assert_eq!(at(8, 1), (Due::Nothing, MINUTE));
        assert_eq!(at(9, 2), (Due::Nothing, 5 * MINUTE));
        assert_eq!(at(14, 2), (Due::Ping, 5 * MINUTE));
    }

    #[test]
    fn pings_keep_clear_of_the_least_interval_of_servers() {
        // A server counts from one arrival to the next, and gives up for good at the third that came early.
        assert!(PoolTimes::default().ping > 5 * MINUTE);
    }
}
