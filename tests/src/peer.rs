//! Those who talk through the mesh: a server and a client in one program, `mesh-peer`, driven by a test.
//!
//! One process makes thousands of connections, so that a test costs few processes. What is said between test and
//! program is declared here once, as the types that both use.

mod client;
mod dial;
mod errno;
mod server;

pub use client::Client;
pub use dial::{Dial, Ending, Exchange, Record, Report, ServerEnding, SocketOptions};
pub use errno::errno_name;
pub use server::{Counts, Mode, Server};

use rustix::time::{ClockId, clock_gettime};

/// Bytes by which a server says who it is: its identity, filled up with spaces.
pub const BANNER_LEN: usize = 64;

/// Bytes of the order that a client gives to a server in [`Mode::Command`]: upload, download and ending as `u64`.
pub const ORDER_LEN: usize = 24;

/// `CLOCK_MONOTONIC` in ns: the same for every process of the machine, whatever its namespaces.
#[must_use]
#[expect(
    clippy::cast_sign_loss,
    reason = "the clock starts at boot and never goes back"
)]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
