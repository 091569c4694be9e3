//! Answers that the mesh makes itself: trailers-only for gRPC, an HTTP status for everything else.

use crate::grpc::{Code, encode_message};
use crate::observe::LocalReply;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// Says that the mesh answered, and why.
pub(super) const MESH_ERROR: HeaderName = HeaderName::from_static("mesh-error");

/// The status of a gRPC call.
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What people are told of it.
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// An answer that the mesh makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// Why.
    pub(super) reason: LocalReply,
    /// The status for gRPC.
    pub(super) code: Code,
    /// The status for everything else.
    pub(super) http: StatusCode,
    /// What people are told: which policy, route or endpoint.
    pub(super) message: String,
    /// A gRPC message that is the answer, with status OK; its length stands before it.
    pub(super) body: Option<Bytes>,
}

impl Reply {
    /// The answer for a reason, with the statuses of DESIGN.md section 4.
    pub(super) fn new(reason: LocalReply, message: String) -> Self {
        let (code, http) = match reason {
            LocalReply::Connect => (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED),
            LocalReply::NoRoute => (Code::Unimplemented, StatusCode::NOT_FOUND),
            LocalReply::NoBackend => (Code::Unavailable, StatusCode::INTERNAL_SERVER_ERROR),
            LocalReply::RateLimited => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS),
            LocalReply::Timeout | LocalReply::StreamIdle => {
                (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT)
            }
            LocalReply::NoEndpoint
            | LocalReply::ConnectFailure
            | LocalReply::CircuitOpen
            | LocalReply::Fault
            | LocalReply::ConnectionLost
            | LocalReply::Fallback => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
            LocalReply::UpstreamReset => (Code::Internal, StatusCode::BAD_GATEWAY),
            LocalReply::Malformed => (Code::Internal, StatusCode::BAD_REQUEST),
        };
        Self {
            reason,
            code,
            http,
            message,
            body: None,
        }
    }

    /// The same with this gRPC message as its answer.
    pub(super) fn with_message(mut self, message: &[u8]) -> Self {
        let mut body = Vec::with_capacity(message.len() + 5);
        // Not compressed. Longer ones than four bytes can say do not fit the configuration.
        body.push(0);
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        body.extend(length.to_be_bytes());
        body.extend(message);
        self.body = Some(Bytes::from(body));
        self.code = Code::Ok;
        self
    }

    /// The same with another status.
    pub(super) const fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The head of the answer to a gRPC call, which is all of it (gRPC `PROTOCOL-HTTP2.md`, "Trailers-Only").
    pub(super) fn grpc_head(&self) -> Response<()> {
        let mut head = Response::new(());
        let headers = head.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        self.write_status(headers);
        head
    }

    /// The head of the answer to a gRPC call that gets a message, which trailers follow.
    pub(super) fn message_head(&self) -> Response<()> {
        let mut head = Response::new(());
        let headers = head.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(MESH_ERROR, HeaderValue::from_static(self.reason.as_str()));
        head
    }

    /// The trailers that end a gRPC call whose head was passed on.
    pub(super) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(3);
        self.write_status(&mut trailers);
        trailers
    }

    /// Head and body of the answer to anything else.
    pub(super) fn http(&self) -> (Response<()>, Bytes) {
        let body = Bytes::from(format!("{}\n", self.message));
        let mut head = Response::new(());
        *head.status_mut() = self.http;
        let headers = head.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(MESH_ERROR, HeaderValue::from_static(self.reason.as_str()));
        (head, body)
    }

    fn write_status(&self, headers: &mut HeaderMap) {
        let status = HeaderValue::from_static(self.code.digits());
        headers.insert(GRPC_STATUS, status);
        // Encoded text is visible ASCII, which every header may hold.
        if let Ok(message) = HeaderValue::from_str(&encode_message(&self.message)) {
            headers.insert(GRPC_MESSAGE, message);
        }
        headers.insert(MESH_ERROR, HeaderValue::from_static(self.reason.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::Reply;
    use crate::observe::LocalReply;

    #[test]
    fn callers_get_the_statuses_of_the_design() {
        for (reason, grpc, http) in [
            (LocalReply::Timeout, "4", 504),
            (LocalReply::RateLimited, "8", 429),
            (LocalReply::CircuitOpen, "14", 503),
            (LocalReply::NoEndpoint, "14", 503),
            (LocalReply::ConnectFailure, "14", 503),
            (LocalReply::NoBackend, "14", 500),
            (LocalReply::NoRoute, "12", 404),
        ] {
            let reply = Reply::new(reason, "because of Service shop/cart".to_owned());
            let head = reply.grpc_head();
            assert_eq!(head.status(), 200);
            assert_eq!(head.headers()["grpc-status"], grpc);
            assert_eq!(head.headers()["mesh-error"], reason.as_str());
            assert_eq!(
                head.headers()["grpc-message"],
                "because of Service shop/cart"
            );
            let (head, body) = reply.http();
            assert_eq!(head.status().as_u16(), http);
            assert_eq!(head.headers()["mesh-error"], reason.as_str());
            assert_eq!(body, "because of Service shop/cart\n");
        }
    }
}
