//! The rules that hold for a caller, in the order of their precedence.

use super::Rule;
use super::matching::{Request, mismatch, specificity};
use crate::model::{GrpcMatch, HttpMatch, PathMatch, RouteMatch, TextMatch};
use http::{HeaderMap, Method};
use std::cmp::Reverse;
use std::collections::HashMap;
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
///
/// Matches with an exact path or service are found by it, the others are tried in turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    entries: Box<[Entry]>,
    /// Entries by the path that they want exactly.
    by_path: HashMap<Box<str>, Vec<usize>>,
    /// Entries by the gRPC service that they want exactly, with any method or an expression for it.
    by_service: HashMap<Arc<str>, Vec<usize>>,
    /// All other entries.
    others: Vec<usize>,
}

/// One match of one rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// What it wants; `None`: every request.
    pub(super) wanted: Option<RouteMatch>,
    /// The rule.
    pub(super) rule: Arc<Rule>,
}

/// How an entry is found.
enum Key {
    Path(Box<str>),
    Service(Arc<str>),
    Other,
}

impl RuleSet {
    /// Orders rules by precedence. They are given in the order that decides ties: the oldest route first, then by
    /// namespace and name, the rules of a route as written.
    #[must_use]
    pub fn new(rules: Vec<(Arc<[RouteMatch]>, Arc<Rule>)>) -> Self {
        let mut entries = Vec::new();
        for (matches, rule) in rules {
            let wanted: Vec<Option<RouteMatch>> = match &*matches {
                [] => vec![None],
                some => some.iter().cloned().map(Some).collect(),
            };
            entries.extend(wanted.into_iter().map(|wanted| Entry {
                wanted,
                rule: Arc::clone(&rule),
            }));
        }
        entries.sort_by_key(|entry| {
            Reverse(entry.wanted.as_ref().map(specificity).unwrap_or_default())
        });
        let mut set = Self {
            entries: entries.into(),
            ..Self::default()
        };
        for (index, entry) in set.entries.iter().enumerate() {
            match key_of(entry.wanted.as_ref()) {
                Key::Path(path) => set.by_path.entry(path).or_default().push(index),
                Key::Service(service) => set.by_service.entry(service).or_default().push(index),
                Key::Other => set.others.push(index),
            }
        }
        set
    }

    /// The rule a request meets; `None`: no rule matches (UNIMPLEMENTED, or 404).
    #[must_use]
    pub fn find(&self, head: &RequestHead<'_>) -> Option<&Arc<Rule>> {
        let request = Request::of(head);
        let of_service = request
            .call
            .and_then(|(service, _)| self.by_service.get(service));
        let lists = [
            self.by_path.get(request.path),
            of_service,
            Some(&self.others),
        ];
        let mut best: Option<(usize, &Entry)> = None;
        for list in lists.into_iter().flatten() {
            let better = list
                .iter()
                .take_while(|index| best.is_none_or(|(best, _)| **index < best));
            let candidates = better.filter_map(|index| Some((*index, self.entries.get(*index)?)));
            best = candidates
                .into_iter()
                .find(|(_, entry)| entry.matches(&request))
                .or(best);
        }
        best.map(|(_, entry)| &entry.rule)
    }

    /// Every match, the one that goes first in front.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Its rules, each once, in the order of their best match.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        let mut seen: Vec<&Arc<Rule>> = Vec::new();
        for Entry { rule, .. } in &self.entries {
            if !seen.iter().any(|known| Arc::ptr_eq(known, rule)) {
                seen.push(rule);
            }
        }
        seen.into_iter()
    }

    /// The matches of one of its rules, the one that goes first in front; none: every request.
    pub fn matches_of<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a RouteMatch> {
        let own = self
            .entries
            .iter()
            .filter(move |entry| std::ptr::eq(Arc::as_ptr(&entry.rule), rule));
        own.filter_map(|entry| entry.wanted.as_ref())
    }

    /// Whether a rule with these matches takes every request.
    #[must_use]
    pub fn takes_everything(matches: &[RouteMatch]) -> bool {
        let mut matches = matches.iter();
        matches.len() == 0 || matches.any(|wanted| specificity(wanted) == [0; 5])
    }
}

impl Entry {
    fn matches(&self, request: &Request<'_>) -> bool {
        let wanted = self.wanted.as_ref();
        wanted.is_none_or(|wanted| mismatch(wanted, request).is_none())
    }
}

fn key_of(wanted: Option<&RouteMatch>) -> Key {
    match wanted {
        Some(RouteMatch::Grpc(GrpcMatch {
            service: Some(TextMatch::Exact(service)),
            method,
            ..
        })) => match method {
            Some(TextMatch::Exact(method)) => Key::Path(format!("/{service}/{method}").into()),
            Some(TextMatch::Pattern(_)) | None => Key::Service(Arc::clone(service)),
        },
        Some(RouteMatch::Http(HttpMatch {
            path: PathMatch::Exact(path),
            ..
        })) => Key::Path((**path).into()),
        Some(RouteMatch::Grpc(_) | RouteMatch::Http(_)) | None => Key::Other,
    }
}
