//! gRPC messages, counted by their length prefixes (gRPC `PROTOCOL-HTTP2.md`, "Length-Prefixed-Message").

/// Compressed flag and length.
const PREFIX_BYTES: usize = 5;

/// Messages and bytes of one direction of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct MessageCount {
    prefix: [u8; PREFIX_BYTES],
    prefix_filled: usize,
    message_left: usize,
    messages: u64,
    bytes: u64,
}

impl MessageCount {
    /// Looks at the next bytes of the body.
    pub(in crate::proxy) fn feed(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.message_left > 0 {
                let passed = self.message_left.min(bytes.len());
                self.message_left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            if self.prefix_filled == 0 {
                self.messages += 1;
            }
            let taken = bytes.len().min(PREFIX_BYTES - self.prefix_filled);
            let (now, rest) = bytes.split_at(taken);
            self.prefix[self.prefix_filled..self.prefix_filled + taken].copy_from_slice(now);
            self.prefix_filled += taken;
            bytes = rest;
            if self.prefix_filled == PREFIX_BYTES {
                self.prefix_filled = 0;
                let [_, length @ ..] = self.prefix;
                // A length that this machine cannot count is never reached.
                self.message_left =
                    usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
        }
    }

    /// Messages that have begun.
    pub(in crate::proxy) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes of the body, prefixes included.
    pub(in crate::proxy) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::MessageCount;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_are_counted_however_they_are_cut(
            lengths in prop::collection::vec(0_usize..50, 0..10),
            cuts in prop::collection::vec(1_usize..9, 1..10),
        ) {
            let mut body = vec![];
            for length in &lengths {
                body.push(0);
                body.extend(u32::try_from(*length).unwrap().to_be_bytes());
                body.extend(vec![7; *length]);
            }
            let mut count = MessageCount::default();
            let mut rest = &body[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, after) = rest.split_at(rest.len().min(*cut));
                count.feed(now);
                rest = after;
            }
            prop_assert_eq!(count.messages(), lengths.len() as u64);
            prop_assert_eq!(count.bytes(), body.len() as u64);
        }
    }
}
