//! The rule that is found is the one that the text of the specification leads to, followed word by word.

use super::{found, grpc, http, rule};
use crate::model::RouteMatch;
use crate::route::RuleSet;
use http::Method;
use proptest::prelude::*;
use std::sync::Arc;

/// A match as the tests write it: parts of a path, then headers; `~` before an expression.
#[derive(Clone, Debug)]
struct Written {
    service: &'static str,
    method: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

const SERVICES: &[&str] = &["-", "a.S", "a.Sub", "b.T", "~a[.].*", "~.*", "~.*[ST]"];
const METHODS: &[&str] = &["-", "Get", "GetAll", "~Get.*", "~.*"];
const HEADERS: &[(&str, &str)] = &[("x", "1"), ("x", "~[12]"), ("y", "1"), ("z", "~.*")];

fn written() -> impl Strategy<Value = Written> {
    let headers = prop::sample::subsequence(HEADERS, 0..3);
    let parts = (
        prop::sample::select(SERVICES),
        prop::sample::select(METHODS),
        headers,
    );
    parts.prop_map(|(service, method, headers)| Written {
        service,
        method,
        headers,
    })
}

/// Whether a text is as wanted. What the expressions mean is written out here, without the library that is under test.
fn is_so(wanted: &str, given: &str) -> bool {
    match wanted {
        "-" | "~.*" => true,
        "~a[.].*" => given.starts_with("a."),
        "~.*[ST]" => given.ends_with(['S', 'T']),
        "~Get.*" => given.starts_with("Get"),
        "~[12]" => given == "1" || given == "2",
        exact => exact == given,
    }
}

impl Written {
    fn compiled(&self) -> RouteMatch {
        grpc(&format!("{} {}", self.service, self.method), &self.headers)
    }

    fn matches(&self, service: &str, method: &str, given: &[(&str, &str)]) -> bool {
        let has = |(name, value): &(&str, &str)| {
            given
                .iter()
                .any(|(known, text)| known == name && is_so(value, text))
        };
        is_so(self.service, service) && is_so(self.method, method) && self.headers.iter().all(has)
    }

    /// "Characters in a matching service", exact ones before expressions; and so for the method.
    fn characters(text: &str) -> (u8, usize) {
        match text.strip_prefix('~') {
            _ if text == "-" => (0, 0),
            Some(pattern) => (1, pattern.len()),
            None => (2, text.len()),
        }
    }
}

/// Keeps those for which `measure` is largest.
fn keep_largest<T: Ord + Copy>(left: &mut Vec<(usize, &Written)>, measure: impl Fn(&Written) -> T) {
    let largest = left.iter().map(|(_, written)| measure(written)).max();
    left.retain(|(_, written)| Some(measure(written)) == largest);
}

/// The specification's text, step by step: the index of the rule.
fn reference(
    rules: &[Vec<Written>],
    service: &str,
    method: &str,
    given: &[(&str, &str)],
) -> Option<usize> {
    let all = rules.iter().enumerate();
    let all = all.flat_map(|(index, matches)| matches.iter().map(move |written| (index, written)));
    let mut left: Vec<(usize, &Written)> = all
        .filter(|(_, written)| written.matches(service, method, given))
        .collect();
    keep_largest(&mut left, |written| Written::characters(written.service));
    keep_largest(&mut left, |written| Written::characters(written.method));
    keep_largest(&mut left, |written| written.headers.len());
    left.iter().map(|(index, _)| *index).min()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_rule_found_is_the_one_of_the_specification(
        rules in prop::collection::vec(prop::collection::vec(written(), 1..4), 0..6),
        service in prop::sample::select(&["a.S", "a.Sub", "b.T", "c"][..]),
        method in prop::sample::select(&["Get", "GetAll", "Set"][..]),
        given in prop::sample::subsequence(&[("x", "1"), ("y", "1"), ("z", "any")][..], 0..=3),
    ) {
        let compiled = rules.iter().enumerate().map(|(index, matches)| {
            let matches: Vec<RouteMatch> = matches.iter().map(Written::compiled).collect();
            (Arc::from(matches), rule(index, vec![]))
        });
        let set = RuleSet::new(compiled.collect());

        let expected = reference(&rules, service, method, &given);

        let path = format!("/{service}/{method}");
        prop_assert_eq!(found(&set, &Method::POST, &path, &given), expected);
    }

    #[test]
    fn any_path_is_looked_up_without_a_panic(path in ".{0,40}", header in "[ -~]{0,20}") {
        let set = RuleSet::new(vec![
            (Arc::from([grpc("~.* ~.*", &[("x", "~.*")])]), rule(0, vec![])),
            (Arc::from([http("/a", "", &[], &[("q", "~.*")])]), rule(1, vec![])),
            (Arc::from([]), rule(2, vec![])),
        ]);
        prop_assert!(found(&set, &Method::POST, &path, &[("x", header.as_str())]).is_some());
    }
}
