//! The gRPC status of an answer, wherever it stands.

use super::Answer;
use crate::grpc::Code;
use crate::proxy::body::Download;
use crate::proxy::reply::GRPC_STATUS;
use http::StatusCode;

/// The gRPC status of an answer; `None`: it is not known yet.
pub(in crate::proxy) fn code_of(answer: &Answer) -> Option<Code> {
    if let Some(status) = answer.head.headers.get(GRPC_STATUS) {
        return Some(Code::parse(status.as_bytes()));
    }
    if answer.head.status != StatusCode::OK {
        return Some(Code::of_http(answer.head.status.as_u16()));
    }
    if answer.download.has_data() {
        return None;
    }
    code_at_end(&answer.download)
}

/// The gRPC status at the end of an answer; `None`: it is not there yet.
pub(in crate::proxy) fn code_at_end(download: &Download) -> Option<Code> {
    match download.end()? {
        Some(status) => Some(status),
        // An end without a status (gRPC `statuscodes.md`: UNKNOWN).
        None => Some(Code::Unknown),
    }
}
