//! Why a request meets one rule and not the others.

use super::matching::{Mismatch, Request, mismatch};
use super::{RequestHead, Rule, RuleSet};
use std::fmt;
use std::sync::Arc;

/// How a rule fares with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one the request meets.
    Met,
    /// It matches, but the one the request meets goes first.
    Beaten,
    /// None of its matches matches: what is missing, match by match.
    Missed(Vec<Missing>),
}

/// The first part of a match that a request does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The path is none of gRPC's.
    Call,
    /// The gRPC service.
    Service,
    /// The method.
    Method,
    /// The path.
    Path,
    /// This header.
    Header(String),
    /// This query parameter.
    Query(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call => f.write_str("the path names no gRPC method"),
            Self::Service => f.write_str("another service"),
            Self::Method => f.write_str("another method"),
            Self::Path => f.write_str("another path"),
            Self::Header(name) => write!(f, "header {name} is not there or different"),
            Self::Query(name) => write!(f, "query parameter {name} is not there or different"),
        }
    }
}

/// How every rule fares with a request, in the order of their best matches.
#[must_use]
pub fn explain(set: &RuleSet, head: &RequestHead<'_>) -> Vec<(Arc<Rule>, Verdict)> {
    let request = Request::of(head);
    let met = set.find(head);
    let rules = set.rules().map(|rule| {
        let own = set.entries().filter(|entry| Arc::ptr_eq(&entry.rule, rule));
        let mut missing = Vec::new();
        let mut does_match = false;
        for entry in own {
            match entry
                .wanted
                .as_ref()
                .and_then(|wanted| mismatch(wanted, &request))
            {
                Some(mismatch) => missing.push(Missing::from(mismatch)),
                None => does_match = true,
            }
        }
        let verdict = if met.is_some_and(|met| Arc::ptr_eq(met, rule)) {
            Verdict::Met
        } else if does_match {
            Verdict::Beaten
        } else {
            Verdict::Missed(missing)
        };
        (Arc::clone(rule), verdict)
    });
    rules.collect()
}

impl From<Mismatch<'_>> for Missing {
    fn from(mismatch: Mismatch<'_>) -> Self {
        match mismatch {
            Mismatch::NoCall => Self::Call,
            Mismatch::Service => Self::Service,
            Mismatch::Method => Self::Method,
            Mismatch::Path => Self::Path,
            Mismatch::Header(name) => Self::Header(name.as_str().to_owned()),
            Mismatch::Query(name) => Self::Query(name.to_owned()),
        }
    }
}
