//! The path of a gRPC request, taken apart.

use std::fmt;

/// `/package.Service/Method` (gRPC `PROTOCOL-HTTP2.md`, "Path"); borrows from the request.
///
/// Both parts are visible ASCII, not empty and without a slash, so they can be compared, matched and shown as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrpcPath<'a> {
    service: &'a str,
    method: &'a str,
}

impl<'a> GrpcPath<'a> {
    /// Takes `path` apart; `None` if it is no gRPC path: not two parts, a query or fragment, or bytes that no name holds.
    #[must_use]
    pub fn parse(path: &'a [u8]) -> Option<Self> {
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        if !path.iter().all(is_plain) {
            return None;
        }
        let text = std::str::from_utf8(path).ok()?;
        let (service, method) = text.strip_prefix('/')?.split_once('/')?;
        let is_whole = !service.is_empty() && !method.is_empty() && !method.contains('/');
        is_whole.then_some(Self { service, method })
    }

    /// The service with its package: `package.Service`.
    #[must_use]
    pub const fn service(&self) -> &'a str {
        self.service
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &'a str {
        self.method
    }
}

/// As a metric's label has it: `package.Service/Method`.
impl fmt::Display for GrpcPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::GrpcPath;
    use proptest::prelude::proptest;

    #[test]
    fn a_path_has_a_service_and_a_method() {
        for (path, expected) in [
            ("/shop.Inventory/Get", Some(("shop.Inventory", "Get"))),
            ("/S/M", Some(("S", "M"))),
            ("/a.b.c.S/m_2", Some(("a.b.c.S", "m_2"))),
            ("/S/M?x=1", None),
            ("/S/M#x", None),
            ("/S/M/", None),
            ("/S/M/N", None),
            ("//M", None),
            ("/S/", None),
            ("/S", None),
            ("/", None),
            ("", None),
            ("*", None),
            ("S/M", None),
            ("/S/a b", None),
            ("/S/\u{e4}", None),
        ] {
            let parsed = GrpcPath::parse(path.as_bytes());
            let parts = parsed.map(|path| (path.service(), path.method()));
            assert_eq!(parts, expected, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_the_path_without_its_first_slash(path in "/?[a-zA-Z.]{0,4}/?[ -~]{0,4}/?.{0,3}") {
            if let Some(parsed) = GrpcPath::parse(path.as_bytes()) {
                assert_eq!(format!("/{parsed}"), path);
                assert_eq!(path.matches('/').count(), 2);
            }
        }

        #[test]
        fn no_bytes_are_too_strange(path: Vec<u8>) {
            if let Some(parsed) = GrpcPath::parse(&path) {
                assert_eq!(parsed.to_string().as_bytes(), &path[1..]);
            }
        }
    }
}
