//! Endpoints behind the proxy that reset, vanish, say nothing or say nonsense at each point of a call: the caller gets gRPC's
//! status for it, keeps its connection, and nobody else notices.

use mesh_tests::Result;
use mesh_tests::deadline::eventually;
use mesh_tests::http2::{
    Block, code, flag, frame, go_away, go_away_for, headers, kind, long_headers, message, ping,
    reset, server_begin, settings, window_update,
};
use mesh_tests::script::{Act, At, Greeting, Leaving, Point, oblige};
use mesh_tests::scripted::{Case, Ends, RESETS, SCRIPTED, Scripted, Wanted, check_all, port};
use mesh_tests::status::{
    DEADLINE_EXCEEDED, INTERNAL, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAUTHENTICATED,
    UNAVAILABLE, UNIMPLEMENTED, UNKNOWN,
};
use std::time::Duration;

fn resets() -> Vec<Case> {
    let mut cases = Vec::new();
    for (code, status) in RESETS {
        let say = move |stream| Act::say(reset(stream, code));
        // Refused streams go once more to where there is room.
        let tries = if code == code::REFUSED_STREAM { 2 } else { 1 };
        let before = format!("reset {code} before the head");
        cases.push(Case::before(before, Wanted::Status(status), tries, say));
        let after = format!("reset {code} after the head");
        cases.push(Case::after_head(after, Wanted::Reset(code), say));
        let after = format!("reset {code} after data");
        cases.push(Case::after_data(after, Wanted::Reset(code), say));
        let head = Block::response();
        let at_once = move |stream| {
            Act::say([headers(stream, false, head.bytes()), reset(stream, code)].concat())
        };
        let once = format!("reset {code} with the head");
        cases.push(Case::before(once, Wanted::Reset(code), 1, at_once));
    }
    cases.push(Case::new(
        "refused once",
        Wanted::Status(0),
        (2, Ends::AtOnce),
        |point| match (point.before, point.at) {
            (0, At::End) => Act::say(reset(point.stream, code::REFUSED_STREAM)),
            (0, _) => Act::nothing(),
            _ => oblige(point),
        },
    ));
    let whole = |stream| {
        [
            headers(stream, false, Block::response().bytes()),
            headers(stream, true, Block::trailers(0).bytes()),
            reset(stream, code::NO_ERROR),
        ]
        .concat()
    };
    cases.push(Case::new(
        "an answer to half a request",
        Wanted::Status(0),
        (1, Ends::Never),
        move |point| match point.at {
            At::Head => Act::say(whole(point.stream)),
            At::Data | At::End => Act::nothing(),
        },
    ));
    cases
}

fn losses() -> Vec<Case> {
    let lost = Wanted::Status(UNAVAILABLE);
    let mut cases = Vec::new();
    for (how, leaving) in [("FIN", Leaving::Finish), ("RST", Leaving::Abort)] {
        let leave = move |_| Act::leave(vec![], leaving);
        let last_word = move |stream| Act::leave(go_away(stream), leaving);
        cases.extend([
            Case::before(format!("{how} before the head"), lost, 1, leave),
            Case::after_head(format!("{how} after the head"), lost, leave),
            Case::after_data(format!("{how} after data"), lost, leave),
            Case::before(format!("GOAWAY and {how}"), lost, 1, last_word),
            Case::after_head(format!("head, GOAWAY, {how}"), lost, last_word),
        ]);
    }
    let below = |stream: u32| Act::say(go_away_for(stream - 1, code::NO_ERROR));
    cases.extend([
        Case::before("GOAWAY below", lost, 2, below),
        Case::new(
            "GOAWAY below once",
            Wanted::Status(0),
            (2, Ends::AtOnce),
            move |point| match (point.before, point.at) {
                (0, At::End) => below(point.stream),
                (0, _) => Act::nothing(),
                _ => oblige(point),
            },
        ),
        Case::new(
            "GOAWAY and an answer",
            Wanted::Status(0),
            (1, Ends::AtOnce),
            |point| {
                let mut act = oblige(point);
                if point.at == At::Head {
                    act.says.splice(..0, go_away(point.stream));
                }
                act
            },
        ),
        Case::after_head("head, GOAWAY below, FIN", lost, |stream| {
            Act::leave(go_away(stream - 1), Leaving::Finish)
        }),
    ]);
    cases
}

/// Answers without a status of gRPC (gRPC `http-grpc-status-mapping.md`).
fn without_status() -> Vec<Case> {
    let mut cases = Vec::new();
    for (http, status) in [
        (400, INTERNAL),
        (401, UNAUTHENTICATED),
        (403, PERMISSION_DENIED),
        (404, UNIMPLEMENTED),
        (418, UNKNOWN),
        (429, UNAVAILABLE),
        (500, UNKNOWN),
        (502, UNAVAILABLE),
        (503, UNAVAILABLE),
        (504, UNAVAILABLE),
        (200, UNKNOWN),
    ] {
        let head = Block::new().literal(":status", &http.to_string());
        let bare = head.bytes().to_vec();
        cases.push(Case::before(
            format!("{http} without a status"),
            Wanted::Http(http, status),
            1,
            move |stream| Act::say(headers(stream, true, &bare)),
        ));
        let page = head.literal("content-type", "text/html").bytes().to_vec();
        cases.push(Case::before(
            format!("{http} with a page"),
            Wanted::Http(http, status),
            1,
            move |stream| {
                let body = frame(kind::DATA, flag::END_STREAM, stream, b"<p>It is late.</p>");
                Act::say([headers(stream, false, &page), body].concat())
            },
        ));
    }
    cases
}

/// What is no HTTP/2, or too much of it.
fn nonsense() -> Vec<Case> {
    const BROKEN: Wanted = Wanted::OneOf(&[INTERNAL, UNAVAILABLE]);
    const TOO_MUCH: Wanted = Wanted::OneOf(&[RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE]);
    let long = Block::response().literal("x-long", &"a".repeat(100_000));
    let bomb = Block::response().inserted("x-bomb", &"b".repeat(3_900));
    let bomb = (0..16_000).fold(bomb, |block, _| block.indexed(62));
    let early = |stream| Act::say(headers(stream, true, Block::trailers(0).bytes()));
    let hints = |stream| {
        let hint = headers(
            stream,
            false,
            Block::new().literal(":status", "103").bytes(),
        );
        let whole = [
            headers(stream, false, Block::response().bytes()),
            headers(stream, true, Block::trailers(0).bytes()),
        ];
        Act::say([hint.repeat(10), whole.concat()].concat())
    };
    let pings = |stream| {
        let whole = [
            headers(stream, false, Block::response().bytes()),
            headers(stream, true, Block::trailers(0).bytes()),
        ];
        Act::say(
            [
                ping().repeat(5_000),
                settings(&[]).repeat(5_000),
                whole.concat(),
            ]
            .concat(),
        )
    };
    vec![
        Case::before("a head of 100,000 bytes", TOO_MUCH, 1, move |stream| {
            Act::say(long_headers(stream, false, long.bytes()))
        }),
        Case::before("64 MiB of references", TOO_MUCH, 1, move |stream| {
            Act::say(long_headers(stream, false, bomb.bytes()))
        }),
        Case::before("a head that cannot be read", BROKEN, 1, |stream| {
            Act::say(headers(stream, false, &[0x80]))
        }),
        Case::before("data without a head", BROKEN, 1, |stream| {
            Act::say(message(stream, true, &[1; 40]))
        }),
        Case::before("a head without a status", BROKEN, 1, early),
        Case::before("a pushed stream", BROKEN, 1, |stream| {
            let promise = [&2_u32.to_be_bytes(), Block::request_for("/x/Y").bytes()].concat();
            Act::say(frame(5, flag::END_HEADERS, stream, &promise))
        }),
        Case::before("an endless frame", BROKEN, 1, |stream| {
            Act::say(frame(kind::DATA, 0, stream, &vec![0; 100_000]))
        }),
        Case::before("too large a window", BROKEN, 1, |_| {
            Act::say(window_update(0).repeat(3))
        }),
        Case::before("ten early hints", Wanted::Status(0), 1, hints),
        Case::before(
            "pings and settings",
            Wanted::OneOf(&[0, UNAVAILABLE]),
            1,
            pings,
        ),
    ]
}

fn scripted() -> Result<Scripted> {
    Scripted::open(&[(SCRIPTED, Greeting::Server)])
}

#[test]
fn a_reset_at_each_point_of_a_call_is_what_grpc_says() -> Result {
    check_all(&mut scripted()?, resets())
}

#[test]
fn a_connection_that_is_lost_at_each_point_of_a_call_is_unavailable() -> Result {
    check_all(&mut scripted()?, losses())
}

#[test]
fn an_answer_without_a_status_is_passed_on_and_counted_as_grpc_says() -> Result {
    check_all(&mut scripted()?, without_status())
}

#[test]
fn nonsense_costs_a_call_and_nothing_else() -> Result {
    check_all(&mut scripted()?, nonsense())
}

/// Time for a call to what never answers: long enough for a busy machine to send it on.
const PATIENCE: &str = "800m";

#[test]
fn an_endpoint_that_says_nothing_costs_the_deadline_and_is_told_so() -> Result {
    let silence = |what: &str, script: fn(Point) -> Act| {
        let path = format!("/silent/{what}");
        (path, script)
    };
    let mut scene = scripted()?;
    for (path, script) in [
        silence("from-the-beginning", |_| Act::nothing()),
        silence("after-the-head", |point| match point.at {
            At::Head => oblige(point),
            At::Data | At::End => Act::nothing(),
        }),
        silence("after-data", |point| match point.at {
            At::Head | At::Data => oblige(point),
            At::End => Act::nothing(),
        }),
    ] {
        scene.scripts.put(&path, script);
        let head = Block::request_for(&path).literal("grpc-timeout", PATIENCE);
        let stream = scene.begin(SCRIPTED, &head, true)?;
        let said = scene.caller.end(SCRIPTED, stream)?;
        assert_eq!(said.grpc_status(), Some(DEADLINE_EXCEEDED), "{path}");
        eventually(&path, Duration::from_secs(10), || {
            match scene.scripts.seen(&path).resets {
                codes if codes == [code::CANCEL] => Ok(()),
                codes => Err(format!("resets {codes:?}")),
            }
        })?;
        scene.beside.goes_on(&path)?;
    }
    Ok(())
}

#[test]
fn a_caller_that_leaves_cancels_at_the_endpoint() -> Result {
    let mut scene = scripted()?;
    scene.scripts.put("/silent/Call", |_| Act::nothing());
    for code in [code::CANCEL, code::NO_ERROR, code::INTERNAL_ERROR] {
        let before = scene.scripts.seen("/silent/Call");
        let stream = scene.begin(SCRIPTED, &Block::request_for("/silent/Call"), true)?;
        let limit = Duration::from_secs(10);
        eventually("the call", limit, || {
            match scene.scripts.seen("/silent/Call").calls {
                calls if calls > before.calls => Ok(()),
                calls => Err(calls.to_string()),
            }
        })?;
        scene.caller.send(SCRIPTED, &reset(stream, code))?;
        let seen = eventually("its end", limit, || {
            let seen = scene.scripts.seen("/silent/Call").resets;
            match seen.len() > before.resets.len() {
                true => Ok(seen),
                false => Err(format!("{seen:?}")),
            }
        })?;
        assert_eq!(seen.last(), Some(&code::CANCEL), "after {code}");
        scene.beside.goes_on("a cancelled call")?;
    }
    let labels = [("path", "routed"), ("rpc_status_code", "CANCELLED")];
    let name = "rpc_client_call_duration_seconds_count";
    scene.agent.expect(name, &labels, 3)
}

#[test]
fn whoever_is_no_server_of_http2_costs_a_call_and_few_connections() -> Result {
    let leaving = [server_begin(), go_away(0)].concat();
    let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    // What was never sent is sent once more, for as long as the call has time.
    let lost: &[u8] = &[UNAVAILABLE, DEADLINE_EXCEEDED];
    let broken: &[u8] = &[UNAVAILABLE, INTERNAL, DEADLINE_EXCEEDED];
    let late: &[u8] = &[DEADLINE_EXCEEDED];
    let rows: [(&str, Greeting, &[u8]); 9] = [
        (SCRIPTED, Greeting::Server, &[0]),
        ("mute", Greeting::Only(vec![]), late),
        ("settings", Greeting::Only(server_begin()), late),
        ("garbage", Greeting::Only(vec![0xa5; 5_000]), broken),
        ("page", Greeting::Leave(page), broken),
        ("closing", Greeting::Leave(vec![]), lost),
        ("leaving", Greeting::Only(leaving.clone()), lost),
        ("left", Greeting::Leave(leaving), lost),
        ("nobody", Greeting::Nobody, lost),
    ];
    let greetings: Vec<_> = rows
        .iter()
        .map(|(name, greeting, _)| (*name, greeting.clone()))
        .collect();
    let mut scene = Scripted::open(&greetings)?;
    let head = Block::request_for("/any/Call").literal("grpc-timeout", PATIENCE);
    for (number, (name, _, wanted)) in (0..).zip(rows) {
        for _ in 0..2 {
            let stream = scene.begin(name, &head, true)?;
            let said = scene.caller.end(name, stream)?;
            let status = said.grpc_status();
            let is_right = status.is_some_and(|status| wanted.contains(&status));
            assert!(is_right, "{name}: {said:?}, not {wanted:?}");
        }
        if name != SCRIPTED {
            // With pauses that double up to 100 ms, a call has some fifteen tries.
            let accepted = scene.scripts.accepted(port(number));
            assert!(accepted <= 40, "{name}: {accepted} connections");
        }
        scene.beside.goes_on(name)?;
    }
    Ok(())
}
