//! Callers of the proxy that break HTTP/2 or do too much of what it allows: answered by the protocol's own means, at a bounded
//! cost, and not noticed by others.

use mesh_tests::Result;
use mesh_tests::heard::{Heard, Said};
use mesh_tests::hostile::{Scene, get};
use mesh_tests::http2::{
    Block, INITIAL_WINDOW_SIZE, client_begin, code, flag, frame, head, headers, kind, long_headers,
    ping, reset, settings, window_update,
};
use mesh_tests::stage::path;
use mesh_tests::status::RESOURCE_EXHAUSTED;
use mesh_tests::wire::Until;

/// What a case may cost the agent at its peak: the windows of the caller's connection and the endpoint's, once and half again.
const COST_MAX: u64 = 32 << 20;

/// What all of them may leave behind: what an allocator keeps.
const LEFT_MAX: u64 = 48 << 20;

/// A stream that no case uses.
const FRESH: u32 = 1_000_001;

/// What a caller says after its beginning: pieces, and how often each is said.
type Pieces = Vec<(Vec<u8>, u32)>;

/// What becomes of a caller.
#[derive(Debug)]
enum Wanted {
    /// Its connection ends, for one of these reasons.
    Leave(&'static [u32]),
    /// Stream 1 is reset for one of these reasons; the connection goes on.
    Reset(&'static [u32]),
    /// So many streams end with this status; the connection goes on.
    Status(u32, u8),
    /// The same, or the connection ends because it is too much.
    StatusOrCalm(u32, u8),
    /// Stream 1 ends with this status of HTTP; the connection goes on.
    Http(u16),
    /// Nothing.
    GoesOn,
}

struct Case {
    what: &'static str,
    said: Pieces,
    wanted: Wanted,
}

impl Case {
    fn new(what: &'static str, said: Pieces, wanted: Wanted) -> Self {
        Self { what, said, wanted }
    }

    /// A caller says all of it. Gives what it heard if that is not as wanted.
    fn run(&self, scene: &mut Scene) -> Result<Option<Heard>> {
        let socket = scene.connect()?;
        scene.client.send(socket, &[&client_begin()])?;
        for (piece, times) in &self.said {
            scene.client.flood(socket, piece, *times)?;
        }
        scene.others_go_on(self.what)?;
        let mut heard = Heard::new();
        let until = match self.wanted {
            Wanted::Leave(_) => Until::Over,
            Wanted::Reset(_) | Wanted::Http(_) => Until::Ends(1),
            Wanted::Status(streams, _) | Wanted::StatusOrCalm(streams, _) => {
                Until::Ends(streams.into())
            }
            Wanted::GoesOn => Until::Ends(0),
        };
        scene.client.hear(socket, until, &mut heard)?;
        let mut is_right = self.is_right(&heard);
        let may_leave = match self.wanted {
            Wanted::Leave(_) => true,
            Wanted::StatusOrCalm(..) => heard.is_over,
            Wanted::Reset(_) | Wanted::Status(..) | Wanted::Http(_) | Wanted::GoesOn => false,
        };
        if !may_leave {
            scene.client.flood(socket, &get(FRESH), 1)?;
            while !heard.on(FRESH).is_ended && !heard.is_over {
                scene.client.hear(socket, Until::Ends(1), &mut heard)?;
            }
            is_right &= heard.on(FRESH).grpc_status() == Some(0);
        }
        scene.client.close(socket)?;
        Ok(Some(heard).filter(|_| !is_right))
    }

    fn is_right(&self, heard: &Heard) -> bool {
        let is_one =
            |code: Option<u32>, codes: &[u32]| code.is_some_and(|code| codes.contains(&code));
        let leaves =
            |codes| heard.is_over && is_one(heard.go_away.as_ref().map(|last| last.code), codes);
        match self.wanted {
            Wanted::Leave(codes) => leaves(codes),
            Wanted::StatusOrCalm(..) if heard.is_over => leaves(&[code::ENHANCE_YOUR_CALM]),
            Wanted::Http(status) => {
                heard.on(1).field(":status") == Some(&*status.to_string()) && heard.on(1).is_ended
            }
            Wanted::Reset(codes) => is_one(heard.on(1).reset, codes),
            Wanted::Status(streams, status) | Wanted::StatusOrCalm(streams, status) => {
                let said = |said: &Said| said.grpc_status() == Some(status);
                heard.streams.len() == streams as usize && heard.streams.values().all(said)
            }
            Wanted::GoesOn => true,
        }
    }
}

/// The head of a stream that stays open, as short as the caller's table makes it from the second one on.
fn short_head(stream: u32) -> Vec<u8> {
    let block = if stream == 1 {
        Block::new()
            .indexed(3)
            .indexed(6)
            .inserted_named(1, "load")
            .inserted_named(4, &path("Chat"))
            .inserted_named(31, "application/grpc")
            .inserted("te", "trailers")
    } else {
        // From the oldest to the newest of the four.
        let block = Block::new().indexed(3).indexed(6);
        (62..66).rev().fold(block, Block::indexed)
    };
    headers(stream, false, block.bytes())
}

/// Streams that are opened and treated alike.
fn streams(count: u32, then: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let each = |number| {
        let stream = 2 * number + 1;
        [short_head(stream), then(stream)].concat()
    };
    (0..count).flat_map(each).collect()
}

/// More of what is allowed than anybody needs.
fn floods() -> Vec<Case> {
    use Wanted::{GoesOn, Leave};
    const CALM: &[u32] = &[code::ENHANCE_YOUR_CALM];
    const CALM_OR_BROKEN: &[u32] = &[code::ENHANCE_YOUR_CALM, code::PROTOCOL_ERROR];
    let rapid = streams(60_000, |stream| reset(stream, code::CANCEL));
    let zero = |stream| frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4]);
    let priority = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1]);
    let open = frame(kind::HEADERS, 0, 1, &[0x82]);
    let fields = Block::new().literal("x-field", &"a".repeat(16_000));
    let more = frame(kind::CONTINUATION, 0, 1, fields.bytes());
    let nothing = frame(kind::CONTINUATION, 0, 1, &[]);
    let answered = frame(kind::PING, flag::ACK, 0, &[0; 8]);
    let unknown = frame(0x55, 0xff, 77, &[1; 100]);
    vec![
        Case::new("rapid reset", vec![(rapid, 1)], Leave(CALM)),
        Case::new(
            "streams that the proxy has to reset",
            vec![(streams(60_000, zero), 1)],
            Leave(CALM_OR_BROKEN),
        ),
        Case::new("SETTINGS", vec![(settings(&[]), 100_000)], Leave(CALM)),
        Case::new(
            "SETTINGS that change every window",
            vec![
                (streams(200, |_| vec![]), 1),
                (
                    settings(&[(INITIAL_WINDOW_SIZE, 1 << 20), (INITIAL_WINDOW_SIZE, 0)]),
                    20_000,
                ),
            ],
            Leave(CALM),
        ),
        Case::new("PING", vec![(ping(), 100_000)], Leave(CALM)),
        Case::new("ten PINGs", vec![(ping(), 10)], Leave(CALM)),
        Case::new(
            "CONTINUATION",
            vec![(open.clone(), 1), (more, 2_000)],
            Leave(CALM_OR_BROKEN),
        ),
        Case::new(
            "empty CONTINUATION",
            vec![(open, 1), (nothing, 100_000)],
            Leave(CALM_OR_BROKEN),
        ),
        Case::new("answers to no PING", vec![(answered, 50_000)], GoesOn),
        Case::new("PRIORITY", vec![(priority, 50_000)], GoesOn),
        Case::new("unknown frames", vec![(unknown, 20_000)], GoesOn),
    ]
}

/// Header blocks that are more than they seem, or too much.
fn bombs() -> Vec<Case> {
    use Wanted::{Leave, Status};
    let long = "a".repeat(100_000);
    let field = Block::request_for(&path("Get")).literal("x-long", &long);
    let plain = Block::new()
        .post()
        .named(4, "/page")
        .literal("x-long", &long);
    let key = Block::request_for(&path("Get")).literal(&long, "x");
    let method = Block::request_for(&path(&long));
    let huge = |block: &Block| vec![(long_headers(1, true, block.bytes()), 1)];
    let many = (0..3_000).fold(Block::request_for(&path("Get")), |block, number| {
        block.literal(&format!("x-{number}"), "some value")
    });
    // 3,900 bytes of value behind each byte.
    let bomb = |stream: u32| {
        let first = Block::request_for(&path("Get"));
        let first = if stream == 1 {
            first.inserted("x-bomb", &"b".repeat(3_900))
        } else {
            first
        };
        let block = (0..16_000).fold(first, |block, _| block.indexed(62));
        long_headers(stream, true, block.bytes())
    };
    let bombs = (0..20).flat_map(|number| bomb(2 * number + 1)).collect();
    let broken = |bytes: &[u8]| vec![(headers(1, true, bytes), 1)];
    let grown = Block::new().table_size(1 << 20);
    let compression = || Leave(&[code::COMPRESSION_ERROR]);
    vec![
        Case::new("100,000 bytes", huge(&field), Status(1, RESOURCE_EXHAUSTED)),
        Case::new(
            "100,000 bytes of no call of gRPC",
            huge(&plain),
            Wanted::Http(431),
        ),
        Case::new(
            "a name of 100,000 bytes",
            huge(&key),
            Status(1, RESOURCE_EXHAUSTED),
        ),
        Case::new(
            "a path of 100,000 bytes",
            huge(&method),
            Status(1, RESOURCE_EXHAUSTED),
        ),
        Case::new("3,000 fields", huge(&many), Status(1, RESOURCE_EXHAUSTED)),
        Case::new(
            "64 MiB of references",
            vec![(bombs, 1)],
            Wanted::StatusOrCalm(20, RESOURCE_EXHAUSTED),
        ),
        Case::new("a table of a MiB", broken(grown.bytes()), compression()),
        Case::new("index zero", broken(&[0x80]), compression()),
        Case::new("an entry that is not there", broken(&[0xc0]), compression()),
        Case::new(
            "an integer without end",
            broken(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            compression(),
        ),
        Case::new(
            "a frame of 2^24-1 bytes",
            vec![
                (head(0x00ff_ffff, kind::HEADERS, flag::END_HEADERS, 1), 1),
                (vec![0; 65_536], 16),
            ],
            Leave(&[code::FRAME_SIZE_ERROR]),
        ),
    ]
}

/// What breaks flow control, or the order of frames.
fn broken() -> Vec<Case> {
    use Wanted::{Leave, Reset};
    const WINDOW: &[u32] = &[code::FLOW_CONTROL_ERROR];
    const BROKEN: &[u32] = &[code::PROTOCOL_ERROR];
    const CALM: &[u32] = &[code::ENHANCE_YOUR_CALM];
    let upload = headers(1, false, Block::request_for(&path("Upload")).bytes());
    let update = window_update(1);
    let nothing = frame(kind::DATA, 0, 1, &[]);
    let connection = vec![(window_update(0), 2)];
    let zero = frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]);
    let ended = [get(1), frame(kind::DATA, 0, 1, &[1; 10])].concat();
    let open = |piece: Vec<u8>, times| vec![(upload.clone(), 1), (piece, times)];
    let without_path = Block::new().post().of_grpc();
    vec![
        Case::new("too large a window", connection, Leave(WINDOW)),
        Case::new(
            "too large a stream's window",
            open(update, 2),
            Reset(WINDOW),
        ),
        Case::new(
            "a window that grows by nothing",
            vec![(zero, 1)],
            Leave(BROKEN),
        ),
        Case::new(
            "DATA of a stream that never was",
            vec![(frame(kind::DATA, 0, 9, &[1; 10]), 1)],
            Leave(BROKEN),
        ),
        Case::new(
            "DATA behind the end",
            vec![(ended, 1)],
            Leave(&[5, code::PROTOCOL_ERROR]),
        ),
        Case::new(
            "a request without a path",
            vec![(headers(1, true, without_path.bytes()), 1)],
            Reset(BROKEN),
        ),
        Case::new("DATA of no bytes", open(nothing, 200_000), Leave(CALM)),
        Case::new(
            "HEADERS of an even stream",
            vec![(
                headers(2, true, Block::request_for(&path("Get")).bytes()),
                1,
            )],
            Leave(BROKEN),
        ),
    ]
}

fn check_all(cases: &[Case]) -> Result {
    let mut scene = Scene::open()?;
    let resident = scene.resident();
    let first = resident.begin()?;
    let mut wrong = Vec::new();
    for case in cases {
        let before = resident.begin()?;
        if let Some(heard) = case.run(&mut scene)? {
            wrong.push(format!("{}: {heard:?}, not {:?}", case.what, case.wanted));
        }
        let cost = resident.peak()?.saturating_sub(before);
        if cost >= COST_MAX {
            wrong.push(format!("{}: {cost} bytes", case.what));
        }
        scene.others_go_on(case.what)?;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    scene.expect_nothing_left()?;
    let left = resident.begin()?.saturating_sub(first);
    assert!(left < LEFT_MAX, "{left} bytes are left");
    Ok(())
}

#[test]
fn floods_end_their_own_connection_only() -> Result {
    check_all(&floods())
}

#[test]
fn header_blocks_that_are_too_much_are_refused_one_by_one() -> Result {
    check_all(&bombs())
}

#[test]
fn what_breaks_the_protocol_is_answered_by_its_own_errors() -> Result {
    check_all(&broken())
}
