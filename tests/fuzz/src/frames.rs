//! Any frames into the proxy's end of a connection, while those who hold its streams do anything they may.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mesh_common::meter::PREFACE;

use crate::choices::Choices;
use crate::framing::frame;
use crate::holders::Holders;
use crate::oracle::{End, Oracle, Said};
use mesh_agent::http2::{Connection, ErrorCode, WireLimits};

/// Small enough to be reached, windows aside: smaller ones than everybody starts with are not announced before they hold.
fn limits() -> WireLimits {
    WireLimits {
        streams_max: 5,
        header_list_bytes_max: 600,
        stream_window_bytes: WINDOW_BYTES,
        caller_window_bytes: 2 * WINDOW_BYTES,
        endpoint_window_bytes: 2 * WINDOW_BYTES,
        block_bytes_max: 1_000,
        send_buffer_bytes_max: SEND_BYTES,
        output_bytes_max: OUTPUT_BYTES,
        faults_max: 4,
        reset_burst: 6,
        resets_per_second: 1,
        settings_burst: 6,
        ..WireLimits::default()
    }
}

pub(crate) const WINDOW_BYTES: u32 = 65_535;
const SEND_BYTES: usize = 3_000;
const OUTPUT_BYTES: usize = 6_000;

/// What one step adds to what waits at most: what is sent within the bound for bodies, a head, and answers to one piece of input.
const STEP_BYTES: usize = SEND_BYTES + 8_000;

/// Does what the choices say: frames come, streams are held, output goes.
///
/// # Panics
/// When a bound does not hold, or what is sent is not legal.
pub fn check_frames(choices: &[u8]) {
    let mut choices = Choices(choices);
    let how = choices.next();
    let mut play = Play::new(how & 1 != 0);
    if how & 2 == 0 {
        play.come(&frame(4, 0, 0, &[]));
    }
    while !choices.0.is_empty() {
        play.step(&mut choices);
        assert!(play.connection.output().len() <= OUTPUT_BYTES + STEP_BYTES);
    }
    play.go(usize::MAX);
    check_sent(&play.sent);
}

struct Play {
    connection: Connection,
    is_server: bool,
    /// Requests that the peer has begun.
    requests: u32,
    now: Instant,
    input: BytesMut,
    sent: Vec<u8>,
    holders: Holders,
}

impl Play {
    fn new(is_server: bool) -> Self {
        let now = Instant::now();
        let mut play = Self {
            connection: if is_server {
                Connection::server(limits(), now)
            } else {
                Connection::client(limits(), now)
            },
            is_server,
            requests: 0,
            now,
            input: BytesMut::new(),
            sent: Vec::new(),
            holders: Holders::new(is_server),
        };
        if is_server {
            play.come(&PREFACE);
        } else {
            play.go(PREFACE.len());
            assert_eq!(play.sent, PREFACE);
            play.sent.clear();
        }
        play
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let what = choices.next();
        match what % 16 {
            0..=3 => {
                let frame = any_frame(choices, self.streams());
                self.come(&frame);
            }
            4 | 5 => {
                let frame = self.head(choices);
                self.come(&frame);
            }
            // Hardly anything can follow it.
            6 if choices.next() == 0 => {
                let count = usize::from(choices.next());
                let bytes = choices.take(count).to_vec();
                self.come(&bytes);
            }
            7 => self.go(usize::from(choices.next()) * 32),
            8 if choices.next().is_multiple_of(8) => self.end(choices.next()),
            9 => self.now += Duration::from_millis(u64::from(choices.next()) * 20),
            _ => self.holders.act(&mut self.connection, choices),
        }
        if self.is_server {
            let open = u32::try_from(self.connection.open_streams());
            assert!(open.is_ok_and(|open| open <= limits().streams_max));
        }
    }

    /// Streams that were opened.
    fn streams(&self) -> u32 {
        if self.is_server {
            self.requests
        } else {
            self.holders.opened
        }
    }

    /// A head or trailers from the peer, of the next stream or of one that was opened.
    fn head(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        let shape = choices.next();
        let (stream, pseudo): (u32, &[u8]) = if self.is_server && shape & 2 == 0 {
            self.requests += 1;
            (2 * self.requests - 1, &[0x83, 0x84, 0x86])
        } else if !self.is_server && shape & 2 == 0 {
            (some_stream(choices, self.streams()), &[0x88])
        } else {
            (some_stream(choices, self.streams()), &[])
        };
        let block = block(choices, shape, pseudo);
        frame(1, shape & 1 | 4, stream, &block)
    }

    /// Bytes come from the peer, unless it has to take some first.
    fn come(&mut self, bytes: &[u8]) {
        if self.connection.is_choked() {
            self.go(OUTPUT_BYTES);
            return;
        }
        self.input.extend_from_slice(bytes);
        self.connection.receive(&mut self.input, self.now);
        // A whole frame is never left, and none is longer than was announced.
        assert!(self.input.len() < 9 + (1 << 14));
    }

    /// Bytes go to the peer.
    fn go(&mut self, count: usize) {
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let mut left = count;
        while left > 0 && !self.connection.output().is_empty() {
            let filled = self.connection.output().slices(&mut slices);
            let mut taken = 0;
            for slice in &slices[..filled] {
                let piece = &slice[..slice.len().min(left)];
                self.sent.extend_from_slice(piece);
                left -= piece.len();
                taken += piece.len();
            }
            slices = [std::io::IoSlice::new(&[]); 8];
            self.connection.output().advance(taken);
        }
        self.connection.flushed();
    }

    /// What ends a connection, or begins its end.
    fn end(&mut self, how: u8) {
        match how % 8 {
            0 => self.connection.finish(),
            1 => self.connection.abandon(),
            2 => self.connection.end(ErrorCode::NO_ERROR),
            3 => self.connection.lost(),
            4 => self.connection.ping(),
            _ => {
                self.connection.is_finished();
            }
        }
    }
}

/// A frame of any kind, whose payload is nearly always one that its kind has.
fn any_frame(choices: &mut Choices<'_>, streams: u32) -> Vec<u8> {
    let kind = choices.one_of(&[0, 0, 0, 0, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10]);
    let shape = choices.next();
    let stream = some_stream(choices, streams);
    let value = choices.next();
    if shape & 0xf0 == 0 {
        let count = usize::from(value);
        return frame(kind, shape, stream, choices.take(count));
    }
    let value_u32 = [0, 0, value, shape];
    match kind {
        0 => frame(
            0,
            shape & 1,
            stream,
            &vec![0; (usize::from(value) * 256).min(1 << 14)],
        ),
        3 => frame(3, 0, stream, &value_u32),
        4 => {
            let name = [0, value % 7];
            let most = if shape & 2 == 0 {
                [0, 0, value, 0]
            } else {
                [0, 1, 0, 0]
            };
            frame(4, 0, 0, &[&name[..], &most[..]].concat())
        }
        6 => frame(6, shape & 1, 0, b"mesh-bye"),
        7 => frame(7, 0, 0, &[[0, 0, 0, value], value_u32].concat()),
        8 => frame(8, 0, if shape & 2 == 0 { 0 } else { stream }, &value_u32),
        _ => frame(kind, shape, stream, choices.take(usize::from(value % 8))),
    }
}

/// One that was opened, nearly always.
fn some_stream(choices: &mut Choices<'_>, streams: u32) -> u32 {
    let chosen = u32::from(choices.next());
    if chosen >= 0xf0 || streams == 0 {
        return chosen % 16;
    }
    2 * (chosen % streams) + 1
}

/// A block that may be legal: a head, of a GET or POST or of a 200, by the fixed table, or trailers; and some fields.
fn block(choices: &mut Choices<'_>, shape: u8, pseudo: &[u8]) -> Vec<u8> {
    let mut block = pseudo.to_vec();
    for _ in 0..choices.next() % 4 {
        let count = choices.next() % 100;
        block.extend_from_slice(&[0x40, 1, b'x', count]);
        block.extend(vec![b'v'; usize::from(count)]);
    }
    if shape & 0xe0 == 0xe0 {
        // The latest field over and over: more than the list may have.
        block.extend(vec![0xbe; usize::from(choices.next())]);
    }
    block
}

/// Everything that was sent is legal, and nothing follows the end of a stream.
fn check_sent(sent: &[u8]) {
    let (oracle, length, end) = Oracle::read(sent);
    assert_eq!((length, end), (sent.len(), End::Whole));
    let mut over = BTreeSet::new();
    for said in &oracle.said {
        match said {
            Said::Headers {
                stream,
                ends_stream,
                ..
            }
            | Said::Data {
                stream,
                ends_stream,
                ..
            } => {
                assert!(!over.contains(stream), "{said:?}");
                if *ends_stream {
                    over.insert(*stream);
                }
            }
            Said::Reset { stream, .. } => {
                over.insert(*stream);
            }
            Said::GoAway { .. } => {}
            Said::HeadersLost { .. } | Said::Lost => panic!("{said:?}"),
        }
    }
}
