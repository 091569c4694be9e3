//! Claims about what people may write to ask.

use super::{Call, Caller, ExplainQuery, Header, Target};
use std::fmt::Display;
use std::str::FromStr;

fn check<T: FromStr + Display>(rows: &[(&str, Option<&str>)]) {
    for (text, expected) in rows {
        let parsed = text.parse::<T>().ok().map(|parsed| parsed.to_string());
        assert_eq!(parsed.as_deref(), *expected, "{text:?}");
    }
}

#[test]
fn targets_are_names_or_addresses_with_ports() {
    let same = |text: &'static str| (text, Some(text));
    check::<Target>(&[
        same("inventory"),
        same("inventory:50051"),
        same("shop/inventory:grpc"),
        same("10.96.0.10:50051"),
        same("[fd00::10]:50051"),
        ("", None),
        ("/inventory:80", None),
        ("a/b/c:80", None),
        ("inventory:", None),
        ("inventory:0", None),
        ("fd00::10", None),
    ]);
}

#[test]
fn callers_calls_and_headers_are_read_as_people_write_them() {
    check::<Caller>(&[
        ("shop", Some("shop")),
        ("shop/order", Some("shop/order")),
        ("", None),
        ("/order", None),
        ("shop/", None),
    ]);
    check::<Call>(&[
        ("/a.S/M", Some("POST /a.S/M")),
        ("a.S/M", Some("POST /a.S/M")),
        ("GET /items?q=1", Some("GET /items?q=1")),
        ("", None),
        ("GET ", None),
        ("G\u{7}T /", None),
        ("/a b", None),
        ("/\u{e4}", None),
    ]);
    check::<Header>(&[
        ("X-User: alice", Some("x-user: alice")),
        ("x:a:b", Some("x: a:b")),
        ("x", None),
        ("a b: c", None),
        ("x: \u{7}", None),
    ]);
}

#[test]
fn a_query_reads_back() {
    let query = ExplainQuery {
        to: "shop/inventory:grpc".parse().unwrap(),
        from: Some("lab/probe".parse().unwrap()),
        call: Some("/a.S/M".parse().unwrap()),
        headers: vec!["x: a&b=c".parse().unwrap(), "x: d".parse().unwrap()],
    };
    assert_eq!(ExplainQuery::parse(&query.to_query()), Ok(query));
    for (wrong, named) in [("", "to="), ("to=a&who=b", "who"), ("to=%2F", "/")] {
        let error = ExplainQuery::parse(wrong).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}
