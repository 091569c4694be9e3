//! Hashes of names and fields: cheap ones, since whatever they find is compared.

/// The hash of a name, and that of a field with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashes {
    pub(super) name: Hash,
    pub(super) field: Hash,
}

/// Sixty-four bits, of which the high ones depend on every byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Hashes {
    pub(super) fn of(name: &[u8], value: &[u8]) -> Self {
        let of_name = Hash(0).with(name);
        Self {
            name: of_name,
            field: of_name.with(value),
        }
    }
}

impl Hash {
    pub(super) fn of(text: &[u8]) -> Self {
        Self(0).with(text)
    }

    fn with(self, text: &[u8]) -> Self {
        let started = self.mixed(text.len() as u64);
        let Some(last) = text.last_chunk() else {
            return started.mixed(short(text));
        };
        // The last word may have bytes of the one before it: cheaper than one that is filled up.
        let (words, _) = text.as_chunks();
        let whole = words
            .iter()
            .fold(started, |hash, word| hash.mixed(u64::from_le_bytes(*word)));
        whole.mixed(u64::from_le_bytes(*last))
    }

    const fn mixed(self, word: u64) -> Self {
        // An odd number without a pattern (the golden ratio's bits): multiplied by it, every bit reaches the high ones.
        Self((self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A place among as many as these bits number, of which there are at most eight.
    pub(super) const fn place(self, bits: u32) -> usize {
        (self.0 >> 56) as usize >> (8 - bits)
    }

    /// More bits than the place has.
    pub(super) const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Fewer than eight bytes as a word.
fn short(text: &[u8]) -> u64 {
    match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => {
            let high = u64::from(u32::from_le_bytes(*last)) << 32;
            high | u64::from(u32::from_le_bytes(*first))
        }
        _ => text
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}
