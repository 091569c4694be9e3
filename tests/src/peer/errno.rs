//! Symbols of the errors that `connect()` gives.

/// The symbol of an error number; the number itself for one that no test expects.
#[must_use]
pub fn errno_name(number: i32) -> String {
    let name = match number {
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ECONNRESET => "ECONNRESET",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::EACCES => "EACCES",
        libc::EPERM => "EPERM",
        libc::EPIPE => "EPIPE",
        libc::EAGAIN => "EAGAIN",
        other => return other.to_string(),
    };
    name.to_owned()
}
