//! What a peer may make the proxy hold.

use std::time::Duration;

/// Bounds of one connection, for everything that its peer controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Requests that a caller may have open at once.
    pub streams_max: u32,
    /// Bytes of a decoded header block, 32 more for each field (RFC 9113, 6.5.2). A request above it is answered 431, a response
    /// above it is refused.
    pub header_list_bytes_max: u32,
    /// Bytes of one stream that wait to be passed on.
    pub stream_window_bytes: u32,
    /// Bytes of all streams of a caller's connection that wait to be passed on.
    pub caller_window_bytes: u32,
    /// The same of a connection to an endpoint: larger, since a stream that nobody reads must not stop the others.
    pub endpoint_window_bytes: u32,
    /// Memory that small DATA frames may take before they are looked at, at 256 bytes each less their own; more is
    /// ENHANCE_YOUR_CALM.
    pub small_frames_bytes_max: usize,
    /// Bytes of one stream that are taken before the socket has room for them.
    pub send_buffer_bytes_max: usize,
    /// Streams open at once on a connection whose endpoint has not said how many it takes.
    pub streams_before_settings: usize,
    /// Streams that a peer may reset before they were looked at; more is ENHANCE_YOUR_CALM (CVE-2023-44487).
    pub unseen_resets_max: usize,
    /// Streams that the proxy had to reset for their peer's errors; more ends the connection (CVE-2025-8671).
    pub faults_max: usize,
    /// Reset streams whose late frames are still put up with.
    pub late_streams_max: usize,
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
            small_frames_bytes_max: 16 << 20,
            send_buffer_bytes_max: 128 << 10,
            // What hyper and RFC 9113 (6.5.2) suggest.
            streams_before_settings: 100,
            unseen_resets_max: 256,
            faults_max: 1024,
            late_streams_max: 50,
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
