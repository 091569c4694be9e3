//! Claims about which rule a request meets and where it goes.

mod explain;
mod precedence;
mod property;

use super::{
    Backend, BackendSetBy, CallSetBy, Choice, RequestHead, RouteKind, Rule, RuleSet, Share,
};
use crate::model::{
    BackendTraffic, CallTraffic, GrpcMatch, HeaderEdits, HeaderMatch, HttpMatch, Kind, ObjectId,
    ObjectName, PathMatch, Pattern, RouteMatch, RuleName, TextMatch,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::Arc;

/// A rule known by its index.
fn rule(index: usize, backends: Vec<Share>) -> Arc<Rule> {
    Arc::new(Rule {
        name: RuleName {
            object: ObjectId {
                kind: Kind::GrpcRoute,
                name: ObjectName::new("n", "r"),
            },
            index,
            name: None,
        },
        kind: RouteKind::Grpc,
        backends: backends.into(),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        mirrors: Box::default(),
        traffic: CallTraffic::default(),
        set_by: CallSetBy::default(),
        fallback: None,
    })
}

fn share(name: &str, weight: u32) -> Share {
    let backend = Backend {
        name: ObjectName::new("n", name),
        port: 80,
        is_ipv6: false,
        endpoints: Arc::from([]),
        traffic: BackendTraffic::default(),
        set_by: BackendSetBy::default(),
        affinity_timeout_s: None,
    };
    Share {
        to: Ok(Arc::new(backend)),
        weight,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        mirrors: Box::default(),
    }
}

/// `~x` is the expression `x`, anything else itself.
fn text(text: &str) -> TextMatch {
    match text.strip_prefix('~') {
        Some(pattern) => TextMatch::Pattern(Pattern::new(pattern).unwrap()),
        None => TextMatch::Exact(text.into()),
    }
}

fn headers(wanted: &[(&str, &str)]) -> Vec<HeaderMatch> {
    let wanted = wanted.iter().map(|(name, value)| HeaderMatch {
        name: HeaderName::from_bytes(name.as_bytes()).unwrap(),
        value: text(value),
    });
    wanted.collect()
}

/// `service method`, `-` for none; `~` before an expression.
fn grpc(call: &str, wanted: &[(&str, &str)]) -> RouteMatch {
    let (service, method) = call.split_once(' ').unwrap();
    let part = |part: &str| (part != "-").then(|| text(part));
    RouteMatch::Grpc(GrpcMatch {
        service: part(service),
        method: part(method),
        headers: headers(wanted),
    })
}

/// A path: `=exact`, `~expression`, else a prefix.
fn http(path: &str, method: &str, wanted: &[(&str, &str)], query: &[(&str, &str)]) -> RouteMatch {
    let path = match path.split_at(1) {
        ("=", exact) => PathMatch::Exact(exact.into()),
        ("~", pattern) => PathMatch::Pattern(Pattern::new(pattern).unwrap()),
        _ => PathMatch::Prefix(path.trim_end_matches('/').into()),
    };
    let query = query
        .iter()
        .map(|(name, value)| (Arc::from(*name), text(value)));
    RouteMatch::Http(HttpMatch {
        path,
        method: (!method.is_empty()).then(|| method.parse().unwrap()),
        headers: headers(wanted),
        query: query.collect(),
    })
}

fn head(given: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// The index of the rule that a request meets; each rule has one match.
fn found(set: &RuleSet, method: &Method, path: &str, given: &[(&str, &str)]) -> Option<usize> {
    let headers = head(given);
    let head = RequestHead {
        method,
        path,
        headers: &headers,
    };
    set.find(&head).map(|rule| rule.name.index)
}

fn set_of(matches: Vec<RouteMatch>) -> RuleSet {
    let rules = matches.into_iter().enumerate();
    RuleSet::new(
        rules
            .map(|(index, wanted)| (Arc::from([wanted]), rule(index, vec![])))
            .collect(),
    )
}

#[test]
fn weights_share_requests_and_zero_takes_none() {
    let of = |weights: &[u32]| {
        let shares = weights.iter().enumerate();
        rule(
            0,
            shares
                .map(|(index, weight)| share(&index.to_string(), *weight))
                .collect(),
        )
    };
    let counts = |rule: &Rule| -> Vec<u32> {
        let mut counts = vec![0; rule.backends.len()];
        for ticket in 0..1000u32 {
            match rule.choose(ticket * (u32::MAX / 999)) {
                Choice::To(backend, _) => counts[backend.name.name.parse::<usize>().unwrap()] += 1,
                Choice::Nowhere(reason) => panic!("{reason}"),
            }
        }
        counts
    };
    assert_eq!(counts(&of(&[1])), [1000]);
    assert_eq!(counts(&of(&[900, 100])), [900, 100]);
    assert_eq!(counts(&of(&[0, 1, 0])), [0, 1000, 0]);
    assert_eq!(counts(&of(&[1_000_000; 16])).iter().sum::<u32>(), 1000);
    assert_eq!(
        of(&[0, 0]).choose(7),
        Choice::Nowhere("every backendRef has weight 0")
    );
    assert_eq!(
        of(&[]).choose(7),
        Choice::Nowhere("the rule has no backendRefs")
    );
}

#[test]
fn the_share_of_a_reference_that_does_not_resolve_goes_nowhere() {
    let mut shares = vec![share("a", 3), share("b", 1)];
    shares[1].to = Err("there is no Service n/b".into());
    let rule = rule(0, shares);
    let lost = (0..400u32).filter(|ticket| {
        let random = (2 * ticket + 1) * (u32::MAX / 800);
        rule.choose(random) == Choice::Nowhere("there is no Service n/b")
    });
    assert_eq!(lost.count(), 100);
}

#[test]
fn a_mirror_takes_its_share() {
    for (numerator, denominator, expected) in
        [(1, 1, 1000), (0, 100, 0), (10, 100, 100), (1, 1000, 1)]
    {
        let mirror = super::Mirror {
            to: Err("nobody".into()),
            numerator,
            denominator,
        };
        let taken = (0..1000u32).filter(|ticket| mirror.takes(ticket * (u32::MAX / 999)));
        assert_eq!(taken.count(), expected, "{numerator}/{denominator}");
    }
}
