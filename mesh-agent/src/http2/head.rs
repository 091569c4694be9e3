//! Heads of messages and trailers, to fields and from fields (RFC 9113, 8.2 and 8.3).

use super::hpack::{Encoder, Field, Indexing};
use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, request, response};

/// The message breaks the rules of HTTP/2: an error of its stream alone (RFC 9113, 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Fields of one block as they come.
#[derive(Debug, Default)]
pub(super) struct Fields {
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    status: Option<StatusCode>,
    headers: HeaderMap,
    bytes: usize,
    has_pseudo: bool,
    is_malformed: bool,
    /// There are more of them than are taken; some are not here.
    pub(super) is_too_large: bool,
}

impl Fields {
    /// Takes one, unless all of them are more than `bytes_max`.
    pub(super) fn take(&mut self, field: &Field, bytes: usize, bytes_max: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > bytes_max {
            self.is_too_large = true;
        }
        if let Field::Header(name, value) = field {
            if !self.is_too_large {
                self.headers.append(name.clone(), value.clone());
            } else if *name == CONTENT_TYPE {
                // From it is told what kind of answer its sender understands.
                self.headers.insert(CONTENT_TYPE, value.clone());
            }
            return;
        }
        let is_in_order = self.headers.is_empty() || self.is_too_large;
        self.has_pseudo = true;
        let is_first = match field {
            Field::Method(method) => self.method.replace(method.clone()).is_none(),
            Field::Scheme(scheme) => self.scheme.replace(scheme.clone()).is_none(),
            Field::Authority(authority) => self.authority.replace(authority.clone()).is_none(),
            Field::Path(path) => self.path.replace(path.clone()).is_none(),
            Field::Status(status) => self.status.replace(*status).is_none(),
            Field::Header(..) | Field::Malformed => false,
        };
        self.is_malformed |= !is_in_order || !is_first;
    }

    /// The head of a request.
    pub(super) fn request(self) -> Result<request::Parts, Malformed> {
        if self.is_malformed || self.status.is_some() {
            return Err(Malformed);
        }
        let method = self.method.ok_or(Malformed)?;
        let mut uri = http::uri::Parts::default();
        if method == Method::CONNECT {
            if self.scheme.is_some() || self.path.is_some() || self.authority.is_none() {
                return Err(Malformed);
            }
            uri.authority = self.authority;
        } else {
            let scheme = self.scheme.ok_or(Malformed)?;
            uri.path_and_query = Some(self.path.ok_or(Malformed)?);
            // `Uri` has no scheme without an authority, which then stands in `host`.
            uri.scheme = self.authority.is_some().then_some(scheme);
            uri.authority = self.authority;
        }
        let mut parts = Request::new(()).into_parts().0;
        parts.method = method;
        parts.uri = Uri::from_parts(uri).map_err(|_| Malformed)?;
        parts.version = http::Version::HTTP_2;
        parts.headers = self.headers;
        Ok(parts)
    }

    /// The head of a response.
    pub(super) fn response(self) -> Result<response::Parts, Malformed> {
        let is_request = self.method.is_some()
            || self.scheme.is_some()
            || self.authority.is_some()
            || self.path.is_some();
        if self.is_malformed || is_request {
            return Err(Malformed);
        }
        let mut parts = Response::new(()).into_parts().0;
        parts.status = self.status.ok_or(Malformed)?;
        parts.version = http::Version::HTTP_2;
        parts.headers = self.headers;
        Ok(parts)
    }

    /// Trailers, which have no pseudo-headers.
    pub(super) fn trailers(self) -> Result<HeaderMap, Malformed> {
        if self.is_malformed || self.has_pseudo {
            return Err(Malformed);
        }
        Ok(self.headers)
    }

    /// The headers that were taken.
    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// The length that a head says its body has.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    if lengths.any(|other| other != first) {
        return Err(Malformed);
    }
    let text = first.to_str().map_err(|_| Malformed)?;
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Malformed);
    }
    text.parse().map(Some).map_err(|_| Malformed)
}

/// The head of a request that is sent.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h> {
    /// `:method`.
    pub method: &'h Method,
    /// `:scheme`, `:authority`, `:path`.
    pub uri: &'h Uri,
    /// Everything else, but for the fields of `instead`.
    pub headers: &'h HeaderMap,
    /// Fields that stand instead of those of the same name.
    pub instead: &'h HeaderMap,
}

/// Writes the block of a request's head.
pub(super) fn write_request(encoder: &mut Encoder, head: &Head<'_>, to: &mut BytesMut) {
    let Head { method, uri, .. } = head;
    encoder.begin(to);
    encoder.field(
        b":method",
        method.as_str().as_bytes(),
        Indexing::Incremental,
        to,
    );
    if **method != Method::CONNECT {
        let scheme = uri.scheme_str().unwrap_or("http");
        encoder.field(b":scheme", scheme.as_bytes(), Indexing::Incremental, to);
    }
    if let Some(authority) = uri.authority() {
        encoder.field(
            b":authority",
            authority.as_str().as_bytes(),
            Indexing::Incremental,
            to,
        );
    }
    if **method != Method::CONNECT {
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        // A query is rarely the same twice.
        let indexing = if path.contains('?') {
            Indexing::Without
        } else {
            Indexing::Incremental
        };
        encoder.field(b":path", path.as_bytes(), indexing, to);
    }
    if head.instead.is_empty() {
        return write_headers(encoder, head.headers, to);
    }
    for (name, value) in head.headers {
        if !head.instead.contains_key(name) {
            write_header(encoder, name, value, to);
        }
    }
    write_headers(encoder, head.instead, to);
}

/// Writes the block of a response's head.
pub(super) fn write_response(
    encoder: &mut Encoder,
    (status, headers): (StatusCode, &HeaderMap),
    to: &mut BytesMut,
) {
    encoder.begin(to);
    encoder.field(
        b":status",
        status.as_str().as_bytes(),
        Indexing::Incremental,
        to,
    );
    write_headers(encoder, headers, to);
}

/// Writes the block of trailers.
pub(super) fn write_trailers(encoder: &mut Encoder, trailers: &HeaderMap, to: &mut BytesMut) {
    encoder.begin(to);
    write_headers(encoder, trailers, to);
}

fn write_headers(encoder: &mut Encoder, headers: &HeaderMap, to: &mut BytesMut) {
    for (name, value) in headers {
        write_header(encoder, name, value, to);
    }
}

fn write_header(encoder: &mut Encoder, name: &HeaderName, value: &HeaderValue, to: &mut BytesMut) {
    let indexing = indexing(name.as_str(), value);
    encoder.field(name.as_str().as_bytes(), value.as_bytes(), indexing, to);
}

/// Values that are longer are not worth a quarter of the table.
const INDEXED_BYTES_MAX: usize = 512;

/// Whether a field is likely to come again as it is.
fn indexing(name: &str, value: &HeaderValue) -> Indexing {
    if value.is_sensitive() {
        return Indexing::Never;
    }
    match name {
        "grpc-timeout"
        | "grpc-message"
        | "grpc-status-details-bin"
        | "grpc-trace-bin"
        | "grpc-previous-rpc-attempts"
        | "traceparent"
        | "tracestate"
        | "b3"
        | "x-b3-traceid"
        | "x-b3-spanid"
        | "x-b3-parentspanid"
        | "x-request-id"
        | "content-length"
        | "date"
        | "set-cookie" => Indexing::Without,
        _ if value.len() > INDEXED_BYTES_MAX => Indexing::Without,
        _ => Indexing::Incremental,
    }
}
