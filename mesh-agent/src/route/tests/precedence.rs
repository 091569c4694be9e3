//! The cases of the specification (`grpcroute_types.go`, `httproute_types.go`), one by one.

use super::{found, grpc, http, set_of};
use crate::model::RouteMatch;
use http::Method;

/// The match that wins of two, whichever stands first; `None`: neither matches.
fn check_grpc(path: &str, given: &[(&str, &str)], winner: RouteMatch, loser: RouteMatch) {
    let both = [
        (vec![winner.clone(), loser.clone()], Some(0)),
        (vec![loser, winner], Some(1)),
    ];
    for (matches, expected) in both {
        let told = format!("{path} {given:?} {matches:?}");
        assert_eq!(
            found(&set_of(matches), &Method::POST, path, given),
            expected,
            "{told}"
        );
    }
}

#[test]
fn of_two_grpc_matches_the_more_specific_one_wins() {
    let call = "/a.S/Get";
    let none: &[(&str, &str)] = &[];
    let x = &[("x", "1")][..];
    for (given, winner, loser) in [
        // Service before method, whatever the rest.
        (none, grpc("a.S -", none), grpc("- -", none)),
        (none, grpc("a.S -", none), grpc("- Get", none)),
        (x, grpc("a.S -", none), grpc("- Get", x)),
        // Method next.
        (none, grpc("a.S Get", none), grpc("a.S -", none)),
        (x, grpc("a.S Get", none), grpc("a.S -", x)),
        (none, grpc("- Get", none), grpc("- -", none)),
        // Then the number of headers.
        (x, grpc("a.S Get", x), grpc("a.S Get", none)),
        (
            &[("x", "1"), ("y", "2")],
            grpc("- -", &[("y", "2"), ("x", "1")]),
            grpc("- -", x),
        ),
        // Exact before expression, a longer expression before a shorter one.
        (none, grpc("a.S -", none), grpc("~a.*|b.* -", none)),
        (none, grpc("a.S -", none), grpc("~a[.]S ~Get", none)),
        (none, grpc("~a[.]S -", none), grpc("~a.* -", none)),
        (none, grpc("~.* Get", none), grpc("~.* ~Get|Set", none)),
        (none, grpc("~.* -", none), grpc("- Get", none)),
    ] {
        check_grpc(call, given, winner, loser);
    }
}

#[test]
fn of_two_http_matches_the_more_specific_one_wins() {
    let none: &[(&str, &str)] = &[];
    let x = &[("x", "1")][..];
    let q = &[("q", "1")][..];
    let path = "/a/b?q=1";
    for (winner, loser) in [
        (http("=/a/b", "", none, none), http("/a/b", "GET", x, q)),
        (http("/a/b", "", none, none), http("/a", "GET", x, q)),
        (http("/a", "GET", none, none), http("/a", "", x, q)),
        (http("/a", "", x, none), http("/a", "", none, q)),
        (http("/a", "", none, q), http("/a", "", none, none)),
        // Where expressions stand is up to the implementation: between exact paths and prefixes.
        (
            http("=/a/b", "", none, none),
            http("~/a/.*", "", none, none),
        ),
        (http("~/a.*", "", none, none), http("/a/b", "", none, none)),
    ] {
        let both = [
            (vec![winner.clone(), loser.clone()], Some(0)),
            (vec![loser, winner], Some(1)),
        ];
        for (matches, expected) in both {
            let told = format!("{matches:?}");
            assert_eq!(
                found(&set_of(matches), &Method::GET, path, x),
                expected,
                "{told}"
            );
        }
    }
}

#[test]
fn of_equal_matches_the_first_wins() {
    let matches = vec![
        grpc("a.S Get", &[("x", "1")]),
        grpc("a.S Get", &[("y", "1")]),
    ];
    let given = &[("x", "1"), ("y", "1")];
    assert_eq!(
        found(&set_of(matches), &Method::POST, "/a.S/Get", given),
        Some(0)
    );
}

#[test]
fn a_grpc_match_wants_the_whole_of_each_part() {
    for (wanted, path, is_met) in [
        ("a.S Get", "/a.S/Get", true),
        ("a.S Get", "/a.S/GetAll", false),
        ("a.S Get", "/a.S/get", false),
        ("a.S -", "/a.S/Other", true),
        ("a.S -", "/a.Sx/Other", false),
        ("- Get", "/b.T/Get", true),
        ("~a[.].* -", "/a.S/Get", true),
        ("~a[.] -", "/a.S/Get", false),
        ("~.* ~Ge.", "/a.S/Get", true),
        ("~.* ~Ge", "/a.S/Get", false),
        // What names no call meets only what asks for none.
        ("a.S -", "/a.S", false),
        ("a.S -", "/a.S/", false),
        ("~.* -", "/", false),
        ("~.* -", "a.S/Get", false),
        ("~.* -", "/a/S/Get", false),
        ("a.S Get", "/a.S/Get?x=1", false),
        ("- -", "*", true),
    ] {
        let met = found(&set_of(vec![grpc(wanted, &[])]), &Method::POST, path, &[]);
        assert_eq!(met.is_some(), is_met, "{wanted} {path}");
    }
}

#[test]
fn an_http_match_wants_path_elements_method_and_query() {
    for (path, method, query, request, is_met) in [
        ("/a", "", &[][..], "/a", true),
        ("/a", "", &[], "/a/", true),
        ("/a/", "", &[], "/a", true),
        ("/a", "", &[], "/a/b", true),
        ("/a", "", &[], "/ab", false),
        ("/a", "", &[], "/a?x", true),
        ("/", "", &[], "/any", true),
        ("=/a", "", &[], "/a", true),
        ("=/a", "", &[], "/a?x=1", true),
        ("=/a", "", &[], "/a/", false),
        ("~/[a-c]+", "", &[], "/abc", true),
        ("~/[a-c]+", "", &[], "/abcd", false),
        ("/", "GET", &[], "/", true),
        ("/", "POST", &[], "/", false),
        ("/", "", &[("q", "1")], "/?q=1", true),
        ("/", "", &[("q", "1")], "/?p=0&q=1&r", true),
        ("/", "", &[("q", "1")], "/?q=2&q=1", false),
        ("/", "", &[("q", "1")], "/?Q=1", false),
        ("/", "", &[("q", "~[0-9]+")], "/?q=12", true),
        ("/", "", &[("q", "~[0-9]+")], "/?q=", false),
        ("/", "", &[("q", "1")], "/", false),
    ] {
        let set = set_of(vec![http(path, method, &[], query)]);
        let met = found(&set, &Method::GET, request, &[]);
        assert_eq!(met.is_some(), is_met, "{path} {method} {query:?} {request}");
    }
}

#[test]
fn a_header_match_wants_every_value_joined() {
    for (wanted, given, is_met) in [
        (&[("x", "1")][..], &[("x", "1")][..], true),
        (&[("X", "1")], &[("x", "1")], true),
        (&[("x", "1")], &[("x", "1 ")], false),
        (&[("x", "1")], &[], false),
        (&[("x", "1,2")], &[("x", "1"), ("x", "2")], true),
        (&[("x", "1,2")], &[("x", "1,2")], true),
        (&[("x", "1")], &[("x", "1"), ("x", "2")], false),
        (
            &[("x", "1,2")],
            &[("x", "1"), ("x", "2"), ("x", "3")],
            false,
        ),
        (&[("x", "~[0-9]")], &[("x", "7")], true),
        (&[("x", "~[0-9]")], &[("x", "77")], false),
        (&[("x", "~1,.")], &[("x", "1"), ("x", "2")], true),
        (&[("x", "1"), ("y", "2")], &[("x", "1"), ("y", "2")], true),
        (&[("x", "1"), ("y", "2")], &[("x", "1")], false),
    ] {
        let met = found(
            &set_of(vec![grpc("- -", wanted)]),
            &Method::POST,
            "/s/m",
            given,
        );
        assert_eq!(met.is_some(), is_met, "{wanted:?} {given:?}");
    }
}
