//! Legal exchanges, made of whatever bytes choose them.

use mesh_common::meter::UNKNOWN;

use crate::choices::Choices;
use crate::compare::check;
use crate::encoder::{Encoder, Field, Manner};
use crate::framing::{self, frame, padded};
use crate::oracle::{End, Said};

/// Makes a direction of a connection from `choices`, and checks that the meter follows it to its last field.
///
/// # Panics
/// When it does not.
pub fn check_calls(choices: &[u8]) {
    let mut choices = Choices(choices);
    let how = choices.next();
    let mut direction = Direction {
        bytes: frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]),
        lists: Vec::new(),
        encoder: Encoder::new(),
        model: (how & 2 != 0).then(fluke_hpack::Encoder::new),
    };
    while !choices.0.is_empty() && direction.bytes.len() < 100_000 {
        direction.frame(&mut choices);
    }
    let (oracle, end) = check(how & 1 != 0, &direction.bytes, u64::from(how));
    assert_eq!(end, End::Whole);
    // What was meant is what the oracle read: the oracle itself is right.
    assert_eq!(oracle.lists, direction.lists);
    for (said, list) in blocks(&oracle.said).zip(&direction.lists) {
        let last = list.iter().rev().find(|(name, _)| name == b"grpc-status");
        assert!(last.is_some() || said == UNKNOWN);
    }
}

/// The `grpc-status` of every block.
fn blocks(said: &[Said]) -> impl Iterator<Item = u32> {
    said.iter().filter_map(|said| match said {
        Said::Headers { fields, .. } => Some(fields.grpc_status),
        Said::Data { .. }
        | Said::Reset { .. }
        | Said::GoAway { .. }
        | Said::HeadersLost { .. }
        | Said::Lost => None,
    })
}

struct Direction {
    bytes: Vec<u8>,
    lists: Vec<Vec<Field>>,
    encoder: Encoder,
    /// Writes the blocks instead, if there is one.
    model: Option<fluke_hpack::Encoder<'static>>,
}

impl Direction {
    fn frame(&mut self, choices: &mut Choices<'_>) {
        let what = choices.next();
        let stream = 2 * u32::from(choices.next() % 8) + 1;
        let payload = usize::from(choices.next());
        let bytes = match what % 16 {
            0..=8 => return self.headers(choices, stream),
            9 | 10 => {
                let flags = choices.next() & 9;
                frame(
                    0,
                    flags,
                    stream,
                    &padded(flags, choices, &vec![7; payload * 8]),
                )
            }
            11 => frame(3, 0, stream, &u32::from(what).to_be_bytes()),
            12 => frame(7, 0, 0, &vec![0; 8 + payload % 30]),
            13 => frame(6, 0, 0, &[0; 8]),
            14 => frame(8, 0, stream, &[0, 0, 1, 0]),
            _ => frame(0x40 | what, choices.next(), stream, &vec![1; payload]),
        };
        self.bytes.extend(bytes);
    }

    fn headers(&mut self, choices: &mut Choices<'_>, stream: u32) {
        let mut block = Vec::new();
        let shape = choices.next();
        if shape & 0x40 != 0 && self.model.is_none() {
            self.encoder
                .resize(usize::from(choices.next()) * 16, &mut block);
        }
        let list: Vec<Field> = (0..=choices.next() % 12).map(|_| field(choices)).collect();
        if let Some(model) = &mut self.model {
            let list = list.iter().map(|(name, value)| (&name[..], &value[..]));
            block.extend(model.encode(list));
        } else {
            for field in &list {
                let manner = Manner::chosen(choices.next());
                self.encoder.write(field, manner, &mut block);
            }
        }
        self.lists.push(list);
        self.bytes
            .extend(framing::block(choices, stream, shape, &block));
    }
}

fn field(choices: &mut Choices<'_>) -> Field {
    let name: &[u8] = choices.one_of(&[
        b":path",
        b":status",
        b"grpc-status",
        b"content-type",
        b"grpc-timeout",
        b"traceparent",
        b"grpc-message",
        b"user-agent",
        b"host",
        b"x",
    ]);
    let value: &[u8] = choices.one_of(&[
        b"",
        b"0",
        b"7",
        b"16",
        b"200",
        b"404",
        b"/",
        b"/index.html",
        b"/helloworld.Greeter/SayHello",
        b"/helloworld.Greeter/SayGoodbye",
        b"application/grpc",
        b"application/grpc+proto",
        b"application/grpc-web",
        b"20S",
        b"99999999H",
        b"250m",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ]);
    let mut value = value.to_vec();
    match choices.next() % 8 {
        0 => {
            let count = choices.next() % 16;
            value.extend_from_slice(choices.take(usize::from(count)));
        }
        1 => value.extend(vec![b'a'; usize::from(choices.next()) * 3]),
        2 => value.insert(0, choices.next()),
        _ => {}
    }
    (name.to_vec(), value)
}
