//! Matches of routes as people read them.

use super::{GrpcMatch, HeaderMatch, HttpMatch, PathMatch, RouteMatch, TextMatch};
use std::fmt;
use std::sync::Arc;

/// Service and method, or path and method, then headers and query parameters; `~` stands before expressions.
impl fmt::Display for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc(wanted) => write_grpc(wanted, f),
            Self::Http(wanted) => write_http(wanted, f),
        }
    }
}

fn write_grpc(wanted: &GrpcMatch, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_part(wanted.service.as_ref(), f)?;
    f.write_str("/")?;
    write_part(wanted.method.as_ref(), f)?;
    write_headers(&wanted.headers, f)
}

fn write_http(wanted: &HttpMatch, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(method) = &wanted.method {
        write!(f, "{method} ")?;
    }
    match &wanted.path {
        PathMatch::Exact(path) => f.write_str(path)?,
        PathMatch::Prefix(path) => write!(f, "{path}/*")?,
        PathMatch::Pattern(pattern) => write!(f, "~{}", pattern.as_str())?,
    }
    write_headers(&wanted.headers, f)?;
    wanted
        .query
        .iter()
        .try_for_each(|(name, value): &(Arc<str>, TextMatch)| write!(f, " ?{name}={value}"))
}

fn write_part(wanted: Option<&TextMatch>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match wanted {
        Some(text) => write!(f, "{text}"),
        None => f.write_str("*"),
    }
}

fn write_headers(wanted: &[HeaderMatch], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    wanted
        .iter()
        .try_for_each(|header| write!(f, " {}: {}", header.name, header.value))
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Pattern(pattern) => write!(f, "~{}", pattern.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{
        GrpcMatch, HeaderMatch, HttpMatch, PathMatch, Pattern, RouteMatch, TextMatch,
    };
    use http::{HeaderName, Method};

    #[test]
    fn a_match_is_told_on_one_line() {
        let exact = |text: &str| TextMatch::Exact(text.into());
        let header = HeaderMatch {
            name: HeaderName::from_static("x-user"),
            value: TextMatch::Pattern(Pattern::new("a.*").unwrap()),
        };
        let http = |path: PathMatch| HttpMatch {
            path,
            method: None,
            headers: vec![],
            query: vec![],
        };
        for (wanted, expected) in [
            (RouteMatch::Grpc(GrpcMatch::default()), "*/*"),
            (
                RouteMatch::Grpc(GrpcMatch {
                    service: Some(exact("a.S")),
                    method: None,
                    headers: vec![header],
                }),
                "a.S/* x-user: ~a.*",
            ),
            (RouteMatch::Http(http(PathMatch::Prefix("".into()))), "/*"),
            (
                RouteMatch::Http(HttpMatch {
                    method: Some(Method::GET),
                    query: vec![("q".into(), exact("1"))],
                    ..http(PathMatch::Exact("/a".into()))
                }),
                "GET /a ?q=1",
            ),
        ] {
            assert_eq!(wanted.to_string(), expected);
        }
    }
}
