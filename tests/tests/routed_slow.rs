//! Callers of the proxy that are in no hurry: streams opened and never read, windows of a byte, requests that never end, halves
//! of connections that are closed. What they hold is bounded, and nobody else waits for them.

use mesh_tests::Result;
use mesh_tests::beside::REPLY;
use mesh_tests::heard::Heard;
use mesh_tests::hostile::{Scene, get, order};
use mesh_tests::http2::{
    Block, INITIAL_WINDOW_SIZE, PREFACE, client_begin, code, frame, headers, kind, message, ping,
    settings, window_update,
};
use mesh_tests::stage::path;
use mesh_tests::wire::Until;
use std::time::{Duration, Instant};

/// What a caller may cost at its peak: the 16 MiB that an endpoint may send before somebody has taken them, by what a buffer
/// that grows takes for a moment.
const COST_MAX: u64 = 64 << 20;

/// Streams that a slow caller opens: with a stream's window of 256 KiB more than the 16 MiB of an endpoint's connection.
const STREAMS: u32 = 100;

/// The beginning of a client whose streams have windows of this size.
fn begin(window_bytes: u32) -> Vec<u8> {
    [
        PREFACE.to_vec(),
        settings(&[(INITIAL_WINDOW_SIZE, window_bytes)]),
        window_update(0),
    ]
    .concat()
}

/// Calls that ask for more than their windows hold.
fn greedy() -> Vec<u8> {
    let block = Block::request_for(&path("List"));
    let each = |number: u32| {
        let stream = 2 * number + 1;
        [
            headers(stream, false, block.bytes()),
            message(stream, true, &order(300_000, 1)),
        ]
        .concat()
    };
    (0..STREAMS).flat_map(each).collect()
}

#[test]
fn streams_that_nobody_reads_hold_a_bounded_part_of_memory() -> Result {
    let mut scene = Scene::open_apart()?;
    let resident = scene.resident();
    let before = resident.begin()?;
    for (what, window_bytes) in [
        ("no windows", 0),
        ("windows of 64 KiB", 65_535),
        (
            "endless windows, and a socket that nobody reads",
            0x7fff_ffff,
        ),
    ] {
        let socket = scene.connect()?;
        scene
            .client
            .send(socket, &[&begin(window_bytes), &greedy()])?;
        for _ in 0..50 {
            scene.others_go_on(what)?;
        }
        let cost = resident.peak()?.saturating_sub(before);
        println!("{what}: {} KiB", cost >> 10);
        assert!(cost < COST_MAX, "{what}: {cost} bytes");
        scene.client.abort(socket)?;
        scene.expect_nothing_left()?;
    }
    Ok(())
}

#[test]
fn requests_that_their_server_does_not_read_hold_a_bounded_part_of_memory() -> Result {
    let mut scene = Scene::open_apart()?;
    let resident = scene.resident();
    let before = resident.begin()?;
    let socket = scene.connect()?;
    scene.client.send(socket, &[&begin(0)])?;
    // A server that cannot send a reply stops reading. What the caller sends is what every proxy must take: 64 KiB.
    let head = Block::request_for(&path("Chat"));
    scene
        .client
        .send(socket, &[&headers(1, false, head.bytes())])?;
    let more = message(1, false, &order(65_536, 1));
    scene.client.send(socket, &[&more.repeat(2_600)])?;
    for _ in 0..50 {
        scene.others_go_on("a request that nobody reads")?;
    }
    let cost = resident.peak()?.saturating_sub(before);
    assert!(cost < COST_MAX, "{cost} bytes");
    scene.client.abort(socket)?;
    scene.expect_nothing_left()
}

#[test]
fn a_window_of_a_byte_at_a_time_brings_all_of_an_answer() -> Result {
    let mut scene = Scene::open()?;
    let socket = scene.connect()?;
    scene.client.send(socket, &[&begin(1), &get(1)])?;
    let mut heard = Heard::new();
    for _ in 1..REPLY {
        scene.client.hear(socket, Until::Data(1), &mut heard)?;
        let byte = frame(kind::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
        scene.client.send(socket, &[&byte])?;
        scene.others_go_on("a window of a byte")?;
    }
    scene.client.hear(socket, Until::Ends(1), &mut heard)?;
    let said = heard.on(1);
    assert_eq!(said.grpc_status(), Some(0), "{said:?}");
    assert_eq!(said.data_bytes, REPLY);
    Ok(())
}

#[test]
fn half_a_connection_ends_with_what_was_asked_of_it() -> Result {
    let head = headers(1, false, Block::request_for(&path("Chat")).bytes());
    let cut = get(1);
    let rows: [(&str, Vec<u8>); 6] = [
        ("nothing", vec![]),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface", PREFACE.to_vec()),
        ("a beginning", client_begin()),
        ("half a request", [client_begin(), head].concat()),
        (
            "half a frame",
            [client_begin(), cut[..cut.len() - 5].to_vec()].concat(),
        ),
    ];
    let mut scene = Scene::open()?;
    for (what, said) in rows {
        let socket = scene.connect()?;
        scene.client.send(socket, &[&said])?;
        scene.client.finish(socket)?;
        // The proxy ends its half too.
        scene.client.drain(socket)?;
        scene.client.close(socket)?;
        scene.others_go_on(what)?;
    }
    scene.expect_nothing_left()
}

#[test]
fn a_ping_each_ten_seconds_is_answered_and_more_of_them_are_too_much() -> Result {
    let mut scene = Scene::open()?;
    let idle = scene.connect()?;
    let busy = scene.connect()?;
    let chat = headers(1, false, Block::request_for(&path("Chat")).bytes());
    scene.client.send(idle, &[&client_begin()])?;
    scene.client.send(busy, &[&client_begin(), &chat])?;
    let mut heard = [Heard::new(), Heard::new()];
    for round in 1..=3 {
        let begun = Instant::now();
        for (socket, heard) in [idle, busy].into_iter().zip(&mut heard) {
            scene.client.send(socket, &[&ping()])?;
            scene.client.hear(socket, Until::Pongs(1), heard)?;
            assert_eq!((heard.pongs, &heard.go_away), (round, &None));
        }
        if round < 3 {
            // Time itself is what is tested: the agent's clock is the machine's.
            std::thread::sleep(Duration::from_secs(10).saturating_sub(begun.elapsed()));
        }
    }
    // Two that come too early are put up with (gRFC A8).
    let [mut heard, _] = heard;
    scene.client.flood(idle, &ping(), 5)?;
    scene.client.hear(idle, Until::Over, &mut heard)?;
    let last = heard.go_away.expect("a reason");
    assert_eq!(last.code, code::ENHANCE_YOUR_CALM);
    // What clients look for before they ping less (gRFC A8).
    assert_eq!(last.debug, "too_many_pings");
    Ok(())
}
