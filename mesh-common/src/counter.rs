//! Counters of everything the kernel programs decide: one per reason.

/// Declares the counters with their label value and help.
macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident = $label:literal,)*) => {
        /// Index of a counter in `COUNTERS`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[$meta])* $name,)*
        }

        impl Counter {
            /// Every counter with its name, in order of its index.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $label),)*];

            /// Number of counters.
            pub const COUNT: usize = Self::ALL.len();
        }
    };
}

counters! {
    /// Not TCP (UDP, MPTCP, SCTP): left alone.
    NotTcp = "not_tcp",
    /// Bound to a device: left alone.
    BoundDevice = "bound_device",
    /// A socket of the agent: left alone.
    OwnSocket = "own_socket",
    /// The destination is neither a service nor an endpoint: left alone.
    NotService = "not_service",
    /// Rewritten to an endpoint.
    Rewritten = "rewritten",
    /// Rewritten to a listener of the proxy.
    Routed = "routed",
    /// Addressed to an endpoint directly: attributed, not rewritten.
    DirectEndpoint = "direct_endpoint",
    /// The service has no usable endpoint: `EHOSTUNREACH`.
    NoEndpoint = "no_endpoint",
    /// The service is being withdrawn, or not yet published: left alone.
    Unpublished = "unpublished",
    /// A table was not the service's own, or named an endpoint that is not: left alone. Always zero unless the agent is broken.
    TornTable = "torn_table",
    /// `getpeername` was answered with the service address.
    PeerNameAnswered = "peer_name_answered",
    /// The affinity set was full: no entry; the same endpoint only within one timeout period.
    AffinityFull = "affinity_full",
    /// No memory for a socket's state: rewritten, but neither metered nor answered in `getpeername`.
    SocketStateFull = "socket_state_full",
    /// No room, or no memory, for a (source, destination): connection not counted.
    ConnectionsFull = "connections_full",
    /// The row of a (source, destination) had gone: end of connection not counted.
    ConnectionRowMissing = "connection_row_missing",
    /// No room for one more host process: counted under `_OTHER`.
    HostSourcesFull = "host_sources_full",
    /// No room for the origin of a connection to the proxy, which finds it in the socket's state instead.
    OriginsFull = "origins_full",
    /// No room in the ring for one more namespace without a listener: told of with its next connect, or found within a second.
    ArrivalsFull = "arrivals_full",
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn counters_stand_at_their_index_under_names_of_their_own() {
        for (index, (counter, name)) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            assert!(
                Counter::ALL[..index].iter().all(|(_, other)| other != name),
                "{name}"
            );
        }
    }
}
