//! L2: the routed path: HTTP/2 from callers, request by request to endpoints.

mod accepted;

pub use accepted::{Accepted, Caller};
