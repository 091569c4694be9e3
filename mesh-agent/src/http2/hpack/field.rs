//! A field of a header, parsed from its texts.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::FIELD_BYTES;

/// A decoded field, parsed once: the table keeps it parsed, so that an indexed field costs a clone of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `:method`.
    Method(Method),
    /// `:scheme`.
    Scheme(Scheme),
    /// `:authority`.
    Authority(Authority),
    /// `:path`.
    Path(PathAndQuery),
    /// `:status`.
    Status(StatusCode),
    /// Any other; its value is marked as sensitive if the peer forbids to index it (RFC 7541, 7.1.3).
    Header(HeaderName, HeaderValue),
    /// Not allowed in HTTP/2, or no field at all: an unknown pseudo-header, a name with uppercase letters, a value with control
    /// characters, a field of the connection. The message is malformed (RFC 9113, 8.1.1), the compression is not.
    Malformed,
}

/// A field as the tables keep it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// What it is called even if the field is malformed: others may refer to it.
    pub(super) name: Name,
    pub(super) field: Field,
    /// What it counts as.
    pub(super) bytes: usize,
}

impl Entry {
    pub(super) fn new(name: Name, value: Cow<'_, [u8]>) -> Self {
        let bytes = name.bytes() + value.len() + FIELD_BYTES;
        let field = name.field(value).unwrap_or(Field::Malformed);
        Self { name, field, bytes }
    }

    /// Marks it as what nobody on the way may index.
    pub(super) fn set_sensitive(&mut self) {
        if let Field::Header(_, value) = &mut self.field {
            value.set_sensitive(true);
        }
    }
}

/// What a field is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    Header(HeaderName),
    /// No name, of this many bytes.
    Malformed(usize),
}

impl Name {
    pub(super) fn parse(text: &[u8]) -> Self {
        match text {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":status" => Self::Status,
            // The parser takes it, but it is not of a token (RFC 9110, 5.6.2).
            _ if text.contains(&b'"') => Self::Malformed(text.len()),
            _ => HeaderName::from_lowercase(text).map_or(Self::Malformed(text.len()), Self::Header),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Path => 5,
            Self::Method | Self::Scheme | Self::Status => 7,
            Self::Authority => 10,
            Self::Header(name) => name.as_str().len(),
            Self::Malformed(bytes) => *bytes,
        }
    }

    /// The field of this name; `None`: it is malformed.
    fn field(&self, value: Cow<'_, [u8]>) -> Option<Field> {
        match self {
            Self::Method => Method::from_bytes(&value).ok().map(Field::Method),
            Self::Scheme if !value.is_empty() => Scheme::try_from(&*value).ok().map(Field::Scheme),
            Self::Status => StatusCode::from_bytes(&value).ok().map(Field::Status),
            Self::Authority => Authority::from_maybe_shared(shared(value))
                .ok()
                .map(Field::Authority),
            Self::Path => path(value).map(Field::Path),
            Self::Header(name) if is_allowed(name, &value) => {
                let value = HeaderValue::from_maybe_shared(shared(value)).ok()?;
                Some(Field::Header(name.clone(), value))
            }
            Self::Scheme | Self::Header(_) | Self::Malformed(_) => None,
        }
    }
}

fn shared(text: Cow<'_, [u8]>) -> Bytes {
    match text {
        Cow::Borrowed(text) => Bytes::copy_from_slice(text),
        Cow::Owned(text) => text.into(),
    }
}

/// A path as a request may have it (RFC 9113, 8.3.1).
fn path(value: Cow<'_, [u8]>) -> Option<PathAndQuery> {
    let is_begun = value.starts_with(b"/") || *value == *b"*";
    // The parser would drop a fragment, and the request would be another one.
    if !is_begun || value.contains(&b'#') {
        return None;
    }
    PathAndQuery::from_maybe_shared(shared(value)).ok()
}

/// Whether a field may cross HTTP/2 at all, which those of one connection may not (RFC 9113, 8.2.2).
fn is_allowed(name: &HeaderName, value: &[u8]) -> bool {
    let is_of_connection = *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == "keep-alive"
        || *name == "proxy-connection";
    !is_of_connection && (*name != TE || value == b"trailers")
}

#[cfg(test)]
mod tests {
    use super::{Entry, Field, Name};

    fn field(name: &str, value: &str) -> Field {
        Entry::new(Name::parse(name.as_bytes()), value.as_bytes().into()).field
    }

    #[test]
    fn what_http2_does_not_allow_is_malformed() {
        let rows = [
            ("", "x"),
            ("Upper", "x"),
            ("sp ace", "x"),
            ("quo\"te", "x"),
            ("x", "a\0b"),
            ("x", "a\nb"),
            ("x", "a\rb"),
            (":unknown", "x"),
            (":protocol", "websocket"),
            (":method", ""),
            (":method", "G T"),
            (":scheme", ""),
            (":scheme", "ht tp"),
            (":authority", ""),
            (":authority", "a/b"),
            (":path", ""),
            (":path", "relative"),
            (":path", "/a b"),
            (":path", "/a#fragment"),
            (":path", "**"),
            (":status", ""),
            (":status", "20"),
            (":status", "2000"),
            (":status", "099"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
        ];
        for (name, value) in rows {
            assert_eq!(field(name, value), Field::Malformed, "{name}: {value}");
        }
    }

    #[test]
    fn what_http2_allows_is_parsed() {
        let header = |name, value| {
            Field::Header(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )
        };
        let rows = [
            (":method", "POST", Field::Method(http::Method::POST)),
            (":method", "PURGE", Field::Method("PURGE".parse().unwrap())),
            (":scheme", "https", Field::Scheme("https".parse().unwrap())),
            (
                ":authority",
                "a:80",
                Field::Authority("a:80".parse().unwrap()),
            ),
            (":path", "/a?b", Field::Path("/a?b".parse().unwrap())),
            (":path", "*", Field::Path("*".parse().unwrap())),
            (":status", "599", Field::Status(599.try_into().unwrap())),
            ("te", "trailers", header("te", "trailers")),
            ("x", "", header("x", "")),
            // Not allowed by RFC 9113, 8.2.1, but a `grpc-message` may end so.
            ("grpc-message", "a ", header("grpc-message", "a ")),
        ];
        for (name, value, expected) in rows {
            assert_eq!(field(name, value), expected, "{name}: {value}");
        }
    }
}
