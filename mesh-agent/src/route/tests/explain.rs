//! Claims about why rules lose.

use super::{grpc, head, http, rule, set_of};
use crate::model::RouteMatch;
use crate::route::{Missing, RequestHead, RuleSet, Verdict, explain};
use http::Method;
use std::sync::Arc;

fn told(set: &RuleSet, path: &str, given: &[(&str, &str)]) -> Vec<(usize, Verdict)> {
    let headers = head(given);
    let head = RequestHead {
        method: &Method::POST,
        path,
        headers: &headers,
    };
    let verdicts = explain(set, &head).into_iter();
    verdicts
        .map(|(rule, verdict)| (rule.name.index, verdict))
        .collect()
}

#[test]
fn every_rule_says_why_it_lost() {
    let none: &[(&str, &str)] = &[];
    let set = set_of(vec![
        grpc("- -", none),
        grpc("a.S Get", none),
        grpc("a.S -", &[("x", "1")]),
        grpc("b.T -", none),
        grpc("- Set", none),
        grpc("- -", &[("y", "1")]),
    ]);
    let missed = |missing: Missing| Verdict::Missed(vec![missing]);
    assert_eq!(
        told(&set, "/a.S/Get", &[("x", "1")]),
        [
            (1, Verdict::Met),
            (2, Verdict::Beaten),
            (3, missed(Missing::Service)),
            (4, missed(Missing::Method)),
            (5, missed(Missing::Header("y".to_owned()))),
            (0, Verdict::Beaten),
        ]
    );
    assert_eq!(told(&set, "/", none)[0], (1, missed(Missing::Call)));
}

#[test]
fn a_rule_with_several_matches_says_what_each_misses() {
    let matches: Vec<RouteMatch> = vec![
        http("/a", "", &[], &[]),
        http("/b", "GET", &[], &[]),
        http("/b", "", &[], &[("q", "1")]),
    ];
    let set = RuleSet::new(vec![(Arc::from(matches), rule(0, vec![]))]);
    let missing = vec![
        Missing::Method,
        Missing::Query("q".to_owned()),
        Missing::Path,
    ];
    assert_eq!(told(&set, "/b", &[]), [(0, Verdict::Missed(missing))]);
    let texts = [Missing::Path, Missing::Header("x".to_owned())].map(|missing| missing.to_string());
    assert_eq!(
        texts,
        ["another path", "header x is not there or different"]
    );
}
