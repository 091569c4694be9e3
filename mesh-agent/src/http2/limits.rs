//! What a peer may make the proxy hold.

use std::time::Duration;

/// Bounds of one connection, for everything that its peer controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Requests that a caller may have open at once.
    pub streams_max: u32,
    /// Bytes of a decoded header block, 32 more for each field (RFC 9113, 6.5.2). A request above it is answered by the
    /// proxy, a response above it is refused.
    pub header_list_bytes_max: u32,
    /// Bytes of one stream that wait to be passed on.
    pub stream_window_bytes: u32,
    /// Bytes of all streams of a caller's connection that wait to be passed on.
    pub caller_window_bytes: u32,
    /// The same of a connection to an endpoint: larger, since a stream that nobody reads must not stop the others.
    pub endpoint_window_bytes: u32,
    /// Payload bytes of an endpoint's frame (RFC 9113, 4.2). A frame is passed on when all of it has come; the larger they are,
    /// the fewer times an endpoint that sends much goes through its own connection. Callers' have the size that needs no setting.
    pub endpoint_frame_bytes_max: u32,
    /// Bytes of a header block as it is sent; more is ENHANCE_YOUR_CALM.
    pub block_bytes_max: usize,
    /// Bytes of bodies that are taken before the socket has room for them.
    pub send_buffer_bytes_max: usize,
    /// Bytes that wait for the socket; above it nothing is read from a peer that does not take what it asked for.
    pub output_bytes_max: usize,
    /// Streams that an endpoint is expected to take on a connection, before it has said how many.
    pub streams_expected: usize,
    /// Streams that the proxy had to reset for their peer's errors; more ends the connection (CVE-2025-8671).
    pub faults_max: usize,
    /// Resets that a caller may send at once …
    pub reset_burst: u32,
    /// … and in a second, on and on.
    pub resets_per_second: u32,
    /// SETTINGS frames that a caller may send at once; one more each second.
    pub settings_burst: u32,
    /// A caller may PING this often, and at any time after it was answered (gRFC A8).
    pub ping_interval: Duration,
    /// PINGs before their time that are put up with.
    pub ping_strikes_max: u32,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            streams_max: 1024,
            header_list_bytes_max: 64 << 10,
            stream_window_bytes: 256 << 10,
            caller_window_bytes: 4 << 20,
            endpoint_window_bytes: 16 << 20,
            endpoint_frame_bytes_max: 64 << 10,
            block_bytes_max: 256 << 10,
            send_buffer_bytes_max: 256 << 10,
            output_bytes_max: 1 << 20,
            // What hyper and RFC 9113 (6.5.2) suggest.
            streams_expected: 100,
            faults_max: 1024,
            // A client that cancels thousands of calls a second has a reason; one that floods sends a hundred times as many.
            reset_burst: 20_000,
            resets_per_second: 2_000,
            settings_burst: 100,
            // Clients send every 10 s, as their own clock and the network have it.
            ping_interval: Duration::from_millis(9_500),
            ping_strikes_max: 2,
        }
    }
}
