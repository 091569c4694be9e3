//! Numbers of gRPC's statuses.

/// The caller has given up.
pub const CANCELLED: u8 = 1;

/// Nobody has said what it is.
pub const UNKNOWN: u8 = 2;

/// It took too long.
pub const DEADLINE_EXCEEDED: u8 = 4;

/// The caller may not.
pub const PERMISSION_DENIED: u8 = 7;

/// There is too little of something.
pub const RESOURCE_EXHAUSTED: u8 = 8;

/// There is no such method.
pub const UNIMPLEMENTED: u8 = 12;

/// Something is broken.
pub const INTERNAL: u8 = 13;

/// Another time it may be answered.
pub const UNAVAILABLE: u8 = 14;

/// Nobody knows who the caller is.
pub const UNAUTHENTICATED: u8 = 16;
