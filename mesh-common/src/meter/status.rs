//! The status of an RPC, as the meter knows it.

/// gRPC status codes, and what the meter says when it could not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are gRPC's own")]
pub enum StatusCode {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
    /// The meter did not see it; never reported as OK.
    Unseen = 17,
}

impl StatusCode {
    /// Number of values.
    pub const COUNT: usize = 18;

    /// Every value with its label, in order of its number.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Ok, "OK"),
        (Self::Cancelled, "CANCELLED"),
        (Self::Unknown, "UNKNOWN"),
        (Self::InvalidArgument, "INVALID_ARGUMENT"),
        (Self::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (Self::NotFound, "NOT_FOUND"),
        (Self::AlreadyExists, "ALREADY_EXISTS"),
        (Self::PermissionDenied, "PERMISSION_DENIED"),
        (Self::ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (Self::FailedPrecondition, "FAILED_PRECONDITION"),
        (Self::Aborted, "ABORTED"),
        (Self::OutOfRange, "OUT_OF_RANGE"),
        (Self::Unimplemented, "UNIMPLEMENTED"),
        (Self::Internal, "INTERNAL"),
        (Self::Unavailable, "UNAVAILABLE"),
        (Self::DataLoss, "DATA_LOSS"),
        (Self::Unauthenticated, "UNAUTHENTICATED"),
        (Self::Unseen, "UNKNOWN_STATUS"),
    ];

    /// The code of a record's number. A number on the wire goes through [`grpc_status`] first.
    #[must_use]
    pub fn from_u32(value: u32) -> Self {
        Self::ALL
            .get(value as usize)
            .map_or(Self::Unknown, |(code, _)| *code)
    }

    /// The label value.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The status that a `grpc-status`, or [`super::UNKNOWN`], stands for; a number that gRPC does not define counts as `UNKNOWN`,
/// as its clients treat it.
#[inline(always)]
#[must_use]
pub const fn grpc_status(value: u32) -> StatusCode {
    match value {
        0 => StatusCode::Ok,
        1 => StatusCode::Cancelled,
        3 => StatusCode::InvalidArgument,
        4 => StatusCode::DeadlineExceeded,
        5 => StatusCode::NotFound,
        6 => StatusCode::AlreadyExists,
        7 => StatusCode::PermissionDenied,
        8 => StatusCode::ResourceExhausted,
        9 => StatusCode::FailedPrecondition,
        10 => StatusCode::Aborted,
        11 => StatusCode::OutOfRange,
        12 => StatusCode::Unimplemented,
        13 => StatusCode::Internal,
        14 => StatusCode::Unavailable,
        15 => StatusCode::DataLoss,
        16 => StatusCode::Unauthenticated,
        super::UNKNOWN => StatusCode::Unseen,
        _ => StatusCode::Unknown,
    }
}

/// The status that an HTTP status stands for when there is no `grpc-status` (gRPC `http-grpc-status-mapping.md`).
#[inline(always)]
#[must_use]
pub const fn http_status(status: u32) -> StatusCode {
    match status {
        400 => StatusCode::Internal,
        401 => StatusCode::Unauthenticated,
        403 => StatusCode::PermissionDenied,
        404 => StatusCode::Unimplemented,
        429 | 502..=504 => StatusCode::Unavailable,
        _ => StatusCode::Unknown,
    }
}

/// The status that a reset stands for (gRPC `PROTOCOL-HTTP2.md`, "Errors"; RFC 9113 section 7).
#[inline(always)]
#[must_use]
pub const fn reset_status(error_code: u32) -> StatusCode {
    match error_code {
        // REFUSED_STREAM: not processed, may be tried again.
        7 => StatusCode::Unavailable,
        // CANCEL.
        8 => StatusCode::Cancelled,
        // ENHANCE_YOUR_CALM.
        11 => StatusCode::ResourceExhausted,
        // INADEQUATE_SECURITY.
        12 => StatusCode::PermissionDenied,
        _ => StatusCode::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::StatusCode;

    #[test]
    fn codes_stand_at_their_number() {
        for (number, (code, _)) in StatusCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, number);
        }
        assert_eq!(StatusCode::from_u32(99), StatusCode::Unknown);
    }
}
