//! L2: the routed path: HTTP/2 from callers, request by request to endpoints.

mod connect;

pub use connect::{Accepted, Caller, Connect, Connecting};
