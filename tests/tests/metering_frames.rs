//! Whatever way frames come, and in whatever pieces: what is counted is what was said.

use mesh_tests::Result;
use mesh_tests::http2::{Block, flag, frame, headers, kind, message};
use mesh_tests::metered::{OTHER, Side, counts, expect_both, rows};
use mesh_tests::stage::{Stage, answer, begin, path, request, response};
use mesh_tests::wire::Listening;

/// What encoders do: insert and refer, literal names, a change of the table's size, padding, priority, pieces of blocks.
fn varied_requests() -> Vec<u8> {
    let inserting = Block::new()
        .table_size(4_096)
        .post()
        .inserted_named(4, &path("Get"))
        .of_grpc()
        .inserted(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    // Newest first: the path was inserted before the trace's parent.
    let referring = Block::new().post().indexed(63).of_grpc().indexed(62);
    let split = Block::request_for(&path("Put"));
    let (front, back) = split.bytes().split_at(17);
    let literal_name = Block::new()
        .post()
        .literal(":path", &path("List"))
        .of_grpc();
    let padded = [&[3, 0, 0, 0, 0, 16], literal_name.bytes(), &[0; 3]].concat();
    let padded_flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS;
    begin(&[
        headers(1, true, inserting.bytes()),
        headers(3, true, referring.bytes()),
        frame(kind::HEADERS, flag::END_STREAM, 5, front),
        frame(kind::CONTINUATION, flag::END_HEADERS, 5, back),
        frame(kind::HEADERS, padded_flags, 7, &padded),
        frame(
            kind::DATA,
            flag::PADDED | flag::END_STREAM,
            7,
            &[4, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0],
        ),
        frame(0xbe, 0xff, 0, b"an extension"),
    ])
}

fn varied_responses() -> Vec<u8> {
    let first = Block::response().inserted("grpc-encoding", "identity");
    let trailers = Block::new().inserted("grpc-status", "5");
    let again = Block::new().indexed(62);
    let only = Block::response().literal("grpc-status", "7");
    let interim = Block::new().named(8, "103");
    answer(&[
        headers(1, false, first.bytes()),
        message(1, false, &[5; 300]),
        headers(1, true, trailers.bytes()),
        headers(5, true, only.bytes()),
        headers(3, false, interim.bytes()),
        headers(3, false, Block::response().indexed(63).bytes()),
        frame(kind::DATA, 0, 3, &[]),
        headers(3, true, again.bytes()),
        headers(7, false, Block::response().bytes()),
        headers(7, true, Block::trailers(0).bytes()),
    ])
}

#[test]
fn every_split_of_an_exchange_counts_the_same() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    let [requests, responses] = [varied_requests(), varied_responses()];
    let mut connections = 0;
    for offset in 1..requests.len().max(responses.len()) {
        let [front, back] = split(&requests, offset);
        let [answer_front, answer_back] = split(&responses, offset);
        stage.exchange(&[front, back], &[answer_front, answer_back])?;
        connections += 1;
    }
    let wanted = rows(&[
        ("Get", "NOT_FOUND", 2 * connections),
        ("Put", "PERMISSION_DENIED", connections),
        ("List", "OK", connections),
    ]);
    expect_both(&stage.agent, &wanted).map(drop)
}

#[test]
fn an_exchange_byte_by_byte_counts_the_same() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    let [requests, responses] = [varied_requests(), varied_responses()];
    let requests: Vec<_> = requests.chunks(1).collect();
    let responses: Vec<_> = responses.chunks(1).collect();
    stage.exchange(&requests, &responses)?;
    let wanted = rows(&[
        ("Get", "NOT_FOUND", 2),
        ("Put", "PERMISSION_DENIED", 1),
        ("List", "OK", 1),
    ]);
    expect_both(&stage.agent, &wanted).map(drop)
}

fn split(bytes: &[u8], offset: usize) -> [&[u8]; 2] {
    let (front, back) = bytes.split_at(offset % bytes.len());
    [front, back]
}

#[test]
fn streams_interleaved_in_one_write_are_all_counted() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    let mut total = 0;
    for count in 2..=64_u32 {
        let streams: Vec<_> = (0..count).map(|number| 2 * number + 1).collect();
        let block = Block::request_for(&path("Chat"));
        let heads = streams
            .iter()
            .map(|&stream| headers(stream, false, block.bytes()));
        let middle = streams
            .iter()
            .map(|&stream| message(stream, false, &[1; 9]));
        let ends = streams.iter().map(|&stream| message(stream, true, &[1; 9]));
        let requests: Vec<_> = heads.chain(middle).chain(ends).collect();
        let heads = streams
            .iter()
            .map(|&stream| headers(stream, false, Block::response().bytes()));
        let ends = streams
            .iter()
            .rev()
            .map(|&stream| headers(stream, true, Block::trailers(0).bytes()));
        let responses: Vec<_> = heads.chain(ends).collect();
        stage.exchange(&[&begin(&requests)], &[&answer(&responses)])?;
        total += u64::from(count);
    }
    expect_both(&stage.agent, &rows(&[("Chat", "OK", total)])).map(drop)
}

#[test]
fn three_hundred_frames_in_one_write_are_all_read() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    let settings = vec![frame(kind::SETTINGS, 0, 0, &[]); 300];
    let pings = vec![frame(kind::PING, 0, 0, &[0; 8]); 300];
    let requests = [settings, vec![request(1, "Get")], pings.clone()].concat();
    let responses = [pings, vec![response(1, 9)]].concat();
    stage.exchange(&[&begin(&requests)], &[&answer(&responses)])?;
    // A request of so many messages, each a frame.
    let many = vec![message(1, false, &[7; 10]); 300].concat();
    let block = Block::request_for(&path("Upload"));
    let requests = [
        headers(1, false, block.bytes()),
        many,
        message(1, true, &[]),
    ];
    stage.exchange(&[&begin(&requests)], &[&answer(&[response(1, 0)])])?;
    let wanted = rows(&[("Get", "FAILED_PRECONDITION", 1), ("Upload", "OK", 1)]);
    expect_both(&stage.agent, &wanted).map(drop)
}

#[test]
fn a_path_that_is_no_method_is_counted_without_a_label() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    let paths = [
        "/",
        "/index.html",
        "no-slash",
        "/a/b\u{7f}",
        "/only-one-part",
        "//method",
        "/service/",
    ];
    for path in paths {
        let block = Block::request_for(path);
        let request = headers(1, true, block.bytes());
        stage.exchange(&[&begin(&[request])], &[&answer(&[response(1, 0)])])?;
    }
    let count = paths.len() as u64;
    let metrics = expect_both(&stage.agent, &rows(&[(OTHER, "OK", count)]))?;
    assert_eq!(counts(&metrics, Side::Client, &[]).len(), 1);
    Ok(())
}
