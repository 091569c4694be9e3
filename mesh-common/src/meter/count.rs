//! What the meter counts of itself.

/// Declares an enum of counters with their label values.
macro_rules! counters {
    ($(#[$enum_meta:meta])* $enum:ident: $($(#[$meta:meta])* $name:ident = $label:literal,)*) => {
        $(#[$enum_meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $enum {
            $($(#[$meta])* $name,)*
        }

        impl $enum {
            /// Every counter with its label, in order of its index.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $label),)*];

            /// Number of counters.
            pub const COUNT: usize = Self::ALL.len();
        }
    };
}

counters! {
    /// What became of RPCs, as far as the kernel knows: index in `METER_RPCS`.
    ///
    /// started = completed + active + aborted + lost + table_full, where the agent knows what is active, and what
    /// it swept of closed connections (aborted) and of connections that lost their place (lost).
    RpcEvent:
    /// Request headers were seen.
    Started = "started",
    /// The end of the response was seen, or a reset.
    Completed = "completed",
    /// There was no room in `STREAMS`.
    TableFull = "table_full",
    /// A response without a request: its request was before the meter's time, or lost.
    Orphan = "orphan_response",
}

counters! {
    /// Why bytes or RPCs were not metered as they might have been: index in `METER_SKIPPED`.
    Skip:
    /// The first bytes of a port declared gRPC are not HTTP/2: encrypted, or another protocol.
    Opaque = "opaque",
    /// The first bytes on a port of unknown protocol are not HTTP/2.
    NotHttp2 = "not_http2",
    /// An HTTP/2 request that is not gRPC.
    NotGrpc = "not_grpc",
    /// A packet that is not plain TCP: IPv6 extension headers, or cut.
    Packet = "packet",
    /// Already seen: retransmitted.
    Retransmitted = "retransmitted",
    /// A piece of DATA was not seen, which changes nothing.
    GapInData = "gap_in_data",
    /// A piece was not seen that would have been needed.
    Gap = "gap",
    /// A packet that came too early was held.
    Held = "held",
    /// There was no room to hold one more.
    HeldFull = "held_full",
    /// Two CPUs had packets of one direction at the same time.
    Contention = "contention",
    /// One packet had more frames and fields than are looked at.
    Steps = "steps",
    /// Frames cannot be right.
    BadFrame = "bad_frame",
    /// Header blocks cannot be right, or contain a PUSH_PROMISE.
    BadHeaders = "bad_headers",
    /// A reference to a header that was sent before the meter looked.
    UnknownReference = "unknown_reference",
    /// A response ended without a status that could be read.
    StatusMissing = "status_missing",
    /// No memory, or no room, for a socket's meter.
    MeterFull = "meter_full",
    /// No room for a metered connection.
    ConnectionsFull = "connections_full",
    /// No room for a new row: counted nowhere else.
    RpcsFull = "rpcs_full",
    /// A service has as many methods as get a label, or no room for one more: `_OTHER`.
    MethodsFull = "methods_full",
    /// The ring of observations was full: a trace or a line of `tap` is missing.
    ObservedFull = "observed_full",
    /// Metering began in the middle of a connection.
    Midstream = "midstream",
    /// An address that is an endpoint of several services: the service of a server's series is not known.
    AmbiguousService = "ambiguous_service",
}

/// Index of the number of directions in a mode, in `METER_MODES`.
///
/// `response`: the direction from server to client.
#[inline(always)]
#[must_use]
pub const fn mode_index(mode: u32, response: bool) -> u32 {
    mode * 2 + response as u32
}

#[cfg(test)]
mod tests {
    use super::{RpcEvent, Skip};

    #[test]
    fn counters_stand_at_their_index() {
        for (index, (counter, _)) in Skip::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
        }
        for (index, (counter, _)) in RpcEvent::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
        }
    }
}
