//! The gRPC status of an answer, wherever it stands, and whether the answer is a failure.

use super::Answer;
use crate::grpc::Code;
use crate::proxy::body::Download;
use crate::proxy::reply::GRPC_STATUS;
use crate::resilience::Failure;
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

/// Whether and how an answer is a failure, as far as it is there.
pub(super) fn failure_of(answer: &Answer, is_grpc: bool) -> Option<Failure> {
    let status = answer.head.status;
    if !is_grpc {
        let is_error = status.is_client_error() || status.is_server_error();
        return is_error.then(|| Failure::Http(status.as_u16(), None));
    }
    let code = code_of(answer).filter(|code| *code != Code::Ok)?;
    let is_of_grpc = status == StatusCode::OK || answer.head.headers.contains_key(GRPC_STATUS);
    Some(if is_of_grpc {
        Failure::Status(code)
    } else {
        Failure::Http(status.as_u16(), Some(code))
    })
}

/// The gRPC status at the end of an answer; `None`: it is not there yet.
pub(in crate::proxy) fn code_at_end(download: &Download) -> Option<Code> {
    match download.end()? {
        Some(status) => Some(status),
        // An end without a status (gRPC `statuscodes.md`: UNKNOWN).
        None => Some(Code::Unknown),
    }
}
