//! L2: the proxy of routed connections: HTTP/2 from callers, request by request to endpoints.
//!
//! A connection comes from a listener in its caller's network namespace; what it calls goes on from a socket that is made in
//! that namespace too, so that address and network policy stay the caller's own ([`Connect`]).

mod accepted;
mod connect;
mod detect;
mod listener;
mod relay;
mod serving;

pub use accepted::{Accepted, Caller};
pub use connect::{Connect, InNamespace, MakeSocket, PlainConnect, SocketWanted};
pub use detect::{Speech, Spoken};
pub use listener::{Acceptor, Found, Listening, Origin};
pub use serving::{CurrentRoutes, Hand, Inlet, ServeHttp2, Serving};
