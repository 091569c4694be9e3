//! Requests and responses that a whole implementation of HTTP/2 accepts, made of whatever bytes choose them.

use crate::choices::Choices;
use crate::encoder::{Encoder, Field, Manner};
use crate::framing::{block, frame, padded};

/// Both directions of a connection, each from its SETTINGS on.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the client sends after its preface: requests on the streams 1, 3, ….
    pub requests: Vec<u8>,
    /// What the server sends once all requests have been sent.
    pub responses: Vec<u8>,
    /// The last stream: whole, and the last thing each direction says.
    pub last_stream: u32,
}

impl Exchange {
    /// Makes one.
    #[must_use]
    pub fn new(choices: &[u8]) -> Self {
        let mut choices = Choices(choices);
        let last_stream = 2 * u32::from(choices.next() % STREAMS_MAX) + 1;
        Self {
            requests: direction(&mut choices, last_stream, Speaker::Client),
            responses: direction(&mut choices, last_stream, Speaker::Server),
            last_stream,
        }
    }
}

/// Streams of one connection. With [`STEPS_PER_STREAM`] far from exhausting a window of 65,535 bytes.
const STREAMS_MAX: u8 = 9;

const STEPS_PER_STREAM: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Client,
    Server,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Body,
    Over,
}

fn direction(choices: &mut Choices<'_>, last_stream: u32, speaker: Speaker) -> Vec<u8> {
    let mut writer = Writer {
        bytes: frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]),
        encoder: Encoder::new(),
        speaker,
    };
    let mut stages = vec![Stage::Idle; last_stream as usize / 2];
    for _ in 0..STEPS_PER_STREAM * last_stream {
        let chosen = usize::from(choices.next());
        if stages.is_empty() || chosen % 8 == 7 {
            writer.noise(choices);
            continue;
        }
        // A client begins its streams in their order.
        let next = stages.iter().position(|stage| *stage == Stage::Idle);
        let index = match (chosen % 2, next, speaker) {
            (0, Some(next), Speaker::Client) => next,
            _ => chosen / 8 % stages.len(),
        };
        let is_next = speaker == Speaker::Server || next == Some(index);
        let stream = 2 * u32::try_from(index).expect("few streams") + 1;
        stages[index] = match stages[index] {
            Stage::Idle if is_next => writer.head(choices, stream),
            Stage::Body => writer.body(choices, stream),
            stage @ (Stage::Idle | Stage::Over) => stage,
        };
    }
    while let Some(index) = stages.iter().position(|stage| *stage == Stage::Idle) {
        let stream = 2 * u32::try_from(index).expect("few streams") + 1;
        stages[index] = writer.head(choices, stream);
        if stages[index] == Stage::Idle {
            // An interim response; nothing follows it.
            stages[index] = Stage::Over;
        }
    }
    let fields = fields(&mut Choices(&[]), speaker);
    writer.headers(&mut Choices(&[]), last_stream, 1, &fields);
    writer.bytes
}

struct Writer {
    bytes: Vec<u8>,
    encoder: Encoder,
    speaker: Speaker,
}

impl Writer {
    fn head(&mut self, choices: &mut Choices<'_>, stream: u32) -> Stage {
        let shape = choices.next();
        if self.speaker == Speaker::Server && shape & 6 == 6 {
            let interim = [(b":status".to_vec(), b"103".to_vec()), junk(choices)];
            self.headers(choices, stream, shape & !1, &interim);
            return Stage::Idle;
        }
        let mut fields = fields(choices, self.speaker);
        if self.speaker == Speaker::Server && shape & 1 != 0 {
            fields.extend(trailers(choices));
        }
        self.headers(choices, stream, shape, &fields);
        if shape & 1 != 0 {
            return Stage::Over;
        }
        Stage::Body
    }

    fn body(&mut self, choices: &mut Choices<'_>, stream: u32) -> Stage {
        let what = choices.next();
        match what % 8 {
            0 => {
                let fields = trailers(choices);
                self.headers(choices, stream, what | 1, &fields);
                Stage::Over
            }
            1 => {
                let code = u32::from(choices.next() % 14).to_be_bytes();
                self.bytes.extend(frame(3, 0, stream, &code));
                Stage::Over
            }
            _ => {
                let flags = choices.next() & 9;
                let payload = vec![7; usize::from(choices.next()) * 4];
                let payload = padded(flags, choices, &payload);
                self.bytes.extend(frame(0, flags, stream, &payload));
                if flags & 1 != 0 {
                    return Stage::Over;
                }
                Stage::Body
            }
        }
    }

    fn headers(&mut self, choices: &mut Choices<'_>, stream: u32, shape: u8, fields: &[Field]) {
        let mut bytes = Vec::new();
        if shape & 0x40 != 0 {
            let bytes_max = usize::from(choices.next()) * 16;
            self.encoder.resize(bytes_max, &mut bytes);
        }
        for field in fields {
            let manner = Manner::chosen(choices.next());
            self.encoder.write(field, manner, &mut bytes);
        }
        self.bytes.extend(block(choices, stream, shape, &bytes));
    }

    /// A frame that belongs to no request.
    fn noise(&mut self, choices: &mut Choices<'_>) {
        let what = choices.next();
        self.bytes.extend(match what % 4 {
            0 => frame(6, 0, 0, &[0; 8]),
            1 => frame(8, 0, 0, &[0, 0, 1, 0]),
            2 => frame(2, 0, 1, &[0, 0, 0, 0, 9]),
            _ => frame(0x40 | what, choices.next(), 1, &[1; 20]),
        });
    }
}

fn fields(choices: &mut Choices<'_>, speaker: Speaker) -> Vec<Field> {
    let mut fields = match speaker {
        Speaker::Client => vec![
            field(b":method", b"POST"),
            field(b":scheme", choices.one_of(&[b"http", b"https"])),
            path(choices),
        ],
        Speaker::Server => {
            vec![field(b":status", choices.one_of(&[b"200", b"404", b"503"]))]
        }
    };
    let pseudo = fields.len();
    fields.rotate_left(usize::from(choices.next()) % pseudo);
    for _ in 0..choices.next() % 8 {
        let more = match choices.next() % 6 {
            0 => field(
                b"content-type",
                choices.one_of(&[b"application/grpc", b"application/grpc+proto", b"text/html"]),
            ),
            1 => field(b"te", b"trailers"),
            2 => field(
                b"grpc-timeout",
                choices.one_of(&[b"20S", b"99999999H", b"250m", b"x"]),
            ),
            3 => field(
                b"traceparent",
                b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
            4 => field(b"user-agent", b"grpc-rust/0.14"),
            _ => junk(choices),
        };
        fields.push(more);
    }
    fields
}

fn trailers(choices: &mut Choices<'_>) -> Vec<Field> {
    let status = choices.one_of(&[&b"0"[..], b"7", b"16", b"none"]);
    vec![field(b"grpc-status", status), junk(choices)]
}

fn path(choices: &mut Choices<'_>) -> Field {
    let known = choices.one_of(&[
        &b"/"[..],
        b"/index.html",
        b"/helloworld.Greeter/SayHello",
        b"/helloworld.Greeter/SayGoodbye",
    ]);
    let count = usize::from(choices.next() % 8);
    let tail = choices.take(count).iter().map(|byte| b'a' + byte % 26);
    (
        b":path".to_vec(),
        known.iter().copied().chain(tail).collect(),
    )
}

fn junk(choices: &mut Choices<'_>) -> Field {
    let count = usize::from(choices.next() % 32);
    let value = choices.take(count).iter().map(|byte| b'!' + byte % 90);
    (b"x-junk".to_vec(), value.collect())
}

fn field(name: &[u8], value: &[u8]) -> Field {
    (name.to_vec(), value.to_vec())
}
