//! The statuses of gRPC, and what stands for one where there is none.

use mesh_common::meter::{self, StatusCode};

/// A gRPC status (gRPC `statuscodes.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are gRPC's own")]
pub enum Code {
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
}

impl Code {
    /// Every status, each at its number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The status of a number; one that gRPC does not define is [`Code::Unknown`], as its clients treat it.
    #[must_use]
    pub fn of(number: u32) -> Self {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(index).copied().unwrap_or(Self::Unknown)
    }

    /// The status of a `grpc-status` header; what is no number, without a sign, is [`Code::Unknown`].
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        number(value).map_or(Self::Unknown, Self::of)
    }

    /// The status of a name in capitals: `UNAVAILABLE`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// What a response without `grpc-status` stands for (gRPC `http-grpc-status-mapping.md`).
    #[must_use]
    pub fn of_http(status: u16) -> Self {
        meter::http_status(u32::from(status)).into()
    }

    /// What a reset stream without response headers stands for, by the reset's error code (gRPC `PROTOCOL-HTTP2.md`,
    /// "Errors"; RFC 9113 section 7).
    #[must_use]
    pub fn of_reset(error_code: u32) -> Self {
        meter::reset_status(error_code).into()
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its number as a header value.
    #[must_use]
    pub const fn digits(self) -> &'static str {
        const DIGITS: [&str; 17] = [
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
            "16",
        ];
        DIGITS[self as usize]
    }

    /// Its name in capitals, the label value of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        StatusCode::from(self).label()
    }
}

/// A number of digits alone (`1*DIGIT`): Rust's own parser takes a sign too.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

impl From<Code> for StatusCode {
    fn from(code: Code) -> Self {
        Self::from_u32(u32::from(code.number()))
    }
}

/// A status that was not seen is unknown.
impl From<StatusCode> for Code {
    fn from(status: StatusCode) -> Self {
        Self::of(status as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::Code;
    use mesh_common::meter::StatusCode;

    #[test]
    fn codes_stand_at_their_number_under_their_name() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(code.number()), number);
            assert_eq!(code.digits(), number.to_string());
            assert_eq!(Code::parse(code.digits().as_bytes()), code);
            assert_eq!(Code::named(code.name()), Some(code));
            assert_eq!(StatusCode::from(code) as usize, number);
        }
        assert_eq!(Code::Unavailable.name(), "UNAVAILABLE");
        assert_eq!(Code::Cancelled.name(), "CANCELLED");
        assert_eq!(Code::from(StatusCode::Unseen), Code::Unknown);
    }

    #[test]
    fn what_grpc_does_not_define_is_unknown() {
        for value in ["17", "4294967296", "-1", "+1", "+", "", "x", "1 "] {
            assert_eq!(Code::parse(value.as_bytes()), Code::Unknown, "{value:?}");
        }
        assert_eq!(Code::parse(b"\xff"), Code::Unknown);
        assert_eq!(Code::named("UNKNOWN_STATUS"), None);
        assert_eq!(Code::named("unavailable"), None);
    }

    #[test]
    fn http_statuses_stand_for_what_grpc_says() {
        for (status, expected) in [
            (200, Code::Unknown),
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (418, Code::Unknown),
            (429, Code::Unavailable),
            (500, Code::Unknown),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
        ] {
            assert_eq!(Code::of_http(status), expected, "{status}");
        }
    }

    #[test]
    fn resets_stand_for_what_grpc_says() {
        for (error_code, expected) in [
            (0, Code::Internal),
            (1, Code::Internal),
            (3, Code::Internal),
            (7, Code::Unavailable),
            (8, Code::Cancelled),
            (11, Code::ResourceExhausted),
            (12, Code::PermissionDenied),
            (13, Code::Internal),
            (u32::MAX, Code::Internal),
        ] {
            assert_eq!(Code::of_reset(error_code), expected, "{error_code}");
        }
    }
}
