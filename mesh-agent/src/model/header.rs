//! Changes of headers that a route asks for.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// `RequestHeaderModifier` or `ResponseHeaderModifier`: removed, then set, then added.
///
/// Names no pseudo-header, `te`, `content-type` or `grpc-*`: the configuration refuses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Headers that are taken out.
    pub remove: Vec<HeaderName>,
    /// Headers that have this value alone.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Values that a header has besides those it has.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Changes `headers`.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HeaderEdits;
    use http::header::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn headers_are_removed_then_set_then_added() {
        let name = HeaderName::from_static;
        let value = HeaderValue::from_static;
        let edits = HeaderEdits {
            remove: vec![name("x-gone")],
            set: vec![(name("x-set"), value("only"))],
            add: vec![
                (name("x-set"), value("more")),
                (name("x-kept"), value("two")),
            ],
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-gone", "1"),
            ("x-gone", "2"),
            ("x-set", "old"),
            ("x-kept", "one"),
        ] {
            headers.append(name, value.parse().unwrap());
        }

        edits.apply(&mut headers);

        let all = |name: &str| -> Vec<&str> {
            let values = headers.get_all(name).iter();
            values.map(|value| value.to_str().unwrap()).collect()
        };
        assert!(all("x-gone").is_empty());
        assert_eq!(all("x-set"), ["only", "more"]);
        assert_eq!(all("x-kept"), ["one", "two"]);
    }
}
