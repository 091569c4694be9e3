//! Whether a request is one that a rule's match wants, and how specific that match is.

use super::RequestHead;
use crate::model::{GrpcMatch, HeaderMatch, HttpMatch, PathMatch, RouteMatch, TextMatch};
use http::header::{GetAll, HeaderName, HeaderValue};
use std::borrow::Cow;

/// A request's head, taken apart once for all matches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'h> {
    head: RequestHead<'h>,
    /// The path without its query.
    pub(super) path: &'h str,
    query: &'h str,
    /// The gRPC service and method that the path names.
    pub(super) call: Option<(&'h str, &'h str)>,
}

impl<'h> Request<'h> {
    /// Takes a head apart.
    pub(super) fn of(head: &RequestHead<'h>) -> Self {
        let (path, query) = head.path.split_once('?').unwrap_or((head.path, ""));
        let call = head
            .path
            .strip_prefix('/')
            .and_then(|call| call.split_once('/'));
        let is_call = |(service, method): &(&str, &str)| {
            !service.is_empty() && !method.is_empty() && !method.contains(['/', '?'])
        };
        Self {
            head: *head,
            path,
            query,
            call: call.filter(is_call),
        }
    }
}

/// The first part of a match that a request does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch<'m> {
    /// The path is none of gRPC's.
    NoCall,
    /// The gRPC service.
    Service,
    /// The gRPC method, or the method of HTTP.
    Method,
    /// The path.
    Path,
    /// A header.
    Header(&'m HeaderName),
    /// A query parameter.
    Query(&'m str),
}

/// What keeps a request from matching; `None`: it matches.
pub(super) fn mismatch<'m>(wanted: &'m RouteMatch, request: &Request<'_>) -> Option<Mismatch<'m>> {
    match wanted {
        RouteMatch::Grpc(wanted) => grpc_mismatch(wanted, request),
        RouteMatch::Http(wanted) => http_mismatch(wanted, request),
    }
}

fn grpc_mismatch<'m>(wanted: &'m GrpcMatch, request: &Request<'_>) -> Option<Mismatch<'m>> {
    if wanted.service.is_some() || wanted.method.is_some() {
        let Some((service, method)) = request.call else {
            return Some(Mismatch::NoCall);
        };
        let is_so = |wanted: &Option<TextMatch>, text: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| matches_text(wanted, text))
        };
        if !is_so(&wanted.service, service) {
            return Some(Mismatch::Service);
        }
        if !is_so(&wanted.method, method) {
            return Some(Mismatch::Method);
        }
    }
    header_mismatch(&wanted.headers, request)
}

fn http_mismatch<'m>(wanted: &'m HttpMatch, request: &Request<'_>) -> Option<Mismatch<'m>> {
    if !matches_path(&wanted.path, request.path) {
        return Some(Mismatch::Path);
    }
    if wanted
        .method
        .as_ref()
        .is_some_and(|method| method != request.head.method)
    {
        return Some(Mismatch::Method);
    }
    header_mismatch(&wanted.headers, request).or_else(|| {
        let missing = wanted.query.iter().find(|(name, value)| {
            let given = parameter(request.query, name);
            !given.is_some_and(|given| matches_text(value, given))
        });
        missing.map(|(name, _)| Mismatch::Query(name))
    })
}

fn header_mismatch<'m>(wanted: &'m [HeaderMatch], request: &Request<'_>) -> Option<Mismatch<'m>> {
    let missing = wanted.iter().find(|wanted| {
        let values = request.head.headers.get_all(&wanted.name);
        !matches_header(&wanted.value, &values)
    });
    missing.map(|wanted| Mismatch::Header(&wanted.name))
}

fn matches_path(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(text) => **text == *path,
        PathMatch::Prefix(prefix) => path
            .strip_prefix(&**prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        PathMatch::Pattern(pattern) => pattern.matches(path.as_bytes()),
    }
}

fn matches_text(wanted: &TextMatch, text: &str) -> bool {
    match wanted {
        TextMatch::Exact(wanted) => **wanted == *text,
        TextMatch::Pattern(pattern) => pattern.matches(text.as_bytes()),
    }
}

fn matches_header(wanted: &TextMatch, values: &GetAll<'_, HeaderValue>) -> bool {
    let mut rest = values.iter();
    let Some(first) = rest.next() else {
        return false;
    };
    let is_single = rest.next().is_none();
    match wanted {
        TextMatch::Exact(text) if is_single => text.as_bytes() == first.as_bytes(),
        TextMatch::Exact(text) => is_joined(text.as_bytes(), values),
        TextMatch::Pattern(pattern) => {
            let value = if is_single {
                Cow::Borrowed(first.as_bytes())
            } else {
                let all: Vec<&[u8]> = values.iter().map(HeaderValue::as_bytes).collect();
                Cow::Owned(all.join(&b','))
            };
            pattern.matches(&value)
        }
    }
}

/// Whether `text` is all the values, joined by commas.
fn is_joined(text: &[u8], values: &GetAll<'_, HeaderValue>) -> bool {
    let mut rest = Some(text);
    let mut values = values.iter().peekable();
    while let Some(value) = values.next() {
        rest = rest.and_then(|rest| rest.strip_prefix(value.as_bytes()));
        if values.peek().is_some() {
            rest = rest.and_then(|rest| rest.strip_prefix(b","));
        }
    }
    rest.is_some_and(<[u8]>::is_empty)
}

/// The first value of a query parameter; one without `=` is empty.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// How specific a match is: the larger goes first.
///
/// A GRPCRoute's: service, method, headers, each by kind (exact before expression before none), then by characters. All
/// exact services that match a request have the same length, so that the order does not depend on the request. An
/// HTTPRoute's: path by kind (exact, expression, prefix: where expressions stand is up to the implementation) and
/// characters, method, headers, query parameters.
pub(super) fn specificity(wanted: &RouteMatch) -> [usize; 5] {
    match wanted {
        RouteMatch::Grpc(wanted) => {
            let (service_kind, service) = of_text(wanted.service.as_ref());
            let (method_kind, method) = of_text(wanted.method.as_ref());
            let headers = wanted.headers.len();
            [service_kind, service, method_kind, method, headers]
        }
        RouteMatch::Http(wanted) => {
            let (kind, text) = match &wanted.path {
                PathMatch::Exact(text) => (2, &**text),
                PathMatch::Pattern(pattern) => (1, pattern.as_str()),
                PathMatch::Prefix(text) => (0, &**text),
            };
            let method = usize::from(wanted.method.is_some());
            let (headers, query) = (wanted.headers.len(), wanted.query.len());
            [kind, text.chars().count(), method, headers, query]
        }
    }
}

fn of_text(wanted: Option<&TextMatch>) -> (usize, usize) {
    match wanted {
        Some(TextMatch::Exact(text)) => (2, text.chars().count()),
        Some(TextMatch::Pattern(pattern)) => (1, pattern.as_str().chars().count()),
        None => (0, 0),
    }
}
