//! The structure of header blocks (RFC 7541), one field or less at a time.

use super::block::{Block, Content, HUFFMAN_BIT, PATH_WORDS, TRACE_WORDS, UNKNOWN};
use super::bound::{bound, zero, zero32};
use super::buffer::Buffer;
use super::digest;
use super::entry::{Entry, STATIC_ENTRIES, content_type};
use super::name::{NAME_BYTES_MAX, Name};
use super::number::{short_number, timeout_us};
use crate::wire::record;

/// Entries of the dynamic table that the meter remembers.
const SLOTS: usize = 128;

/// References that one step reads.
const INDEXED_MAX: u32 = 8;

/// A header string longer than this ends the metering of a direction's headers; nothing that peers accept is.
const STRING_BYTES_MAX: u32 = 1 << 24;

record! {
    /// One direction's header compression, as far as the meter follows it. All zeros: at the beginning of a connection.
    pub struct Hpack, size 1376 {
        /// The newest entries of the dynamic table, by order of insertion modulo the size: kind in the highest byte,
        /// 56 bits of value.
        slots: [u64; SLOTS],
        /// The encoded `:path` of the block, when it was literal.
        pub path: [u64; PATH_WORDS],
        /// The first bytes of the string that is being read.
        head: [u64; 2],
        digest: u64,
        /// Bytes of the string since the last multiple of eight.
        partial: u64,
        /// What the block's fields said so far.
        pub block: Block,
        /// Digest of the `traceparent` that stands in the block; zero: none.
        trace_parent: u64,
        /// Insertions so far, modulo 2^32.
        inserts: u32,
        /// Insertions that the slots know, at most [`SLOTS`].
        known: u32,
        phase: u32,
        representation: u32,
        /// The field's [`Name`].
        name: u32,
        is_value: u32,
        is_huffman: u32,
        integer: u32,
        shift: u32,
        string_length: u32,
        string_read: u32,
        /// The four bytes behind `head`.
        behind_head: u32,
    }
}

/// Where in a field the next byte stands.
mod phase {
    pub(super) const FIELD: u32 = 0;
    pub(super) const INDEX_MORE: u32 = 1;
    pub(super) const LENGTH: u32 = 2;
    pub(super) const LENGTH_MORE: u32 = 3;
    pub(super) const STRING: u32 = 4;
}

/// How a field is represented (RFC 7541 section 6).
mod representation {
    pub(super) const INDEXED: u32 = 0;
    pub(super) const INSERTED: u32 = 1;
    pub(super) const RESIZED: u32 = 2;
    pub(super) const LITERAL: u32 = 3;
}

/// The block cannot be right: the direction's headers are lost from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Hpack {
    /// Begins a block.
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        self.phase = phase::FIELD;
        self.block.path = zero();
        self.block.timeout_us = zero();
        self.block.trace_parent_length = zero32();
        self.block.path_length = zero32();
        self.block.http_status = UNKNOWN;
        self.block.grpc_status = UNKNOWN;
        self.block.content = Content::Unknown as u32;
        self.block.unknown_references = zero32();
        self.block.fields = zero32();
    }

    /// Whether the block may end here.
    #[inline(always)]
    pub(super) const fn is_between_fields(&self) -> bool {
        self.phase == phase::FIELD
    }

    /// Forgets the dynamic table: what was inserted until now is not known.
    #[inline(always)]
    pub(super) fn forget(&mut self) {
        self.known = 0;
        self.inserts = 0;
        self.phase = phase::FIELD;
    }

    /// Reads a field or a part of one; returns how many bytes that were, at least one.
    ///
    /// `available`, at least one, are the bytes of the block that have arrived; of these the buffer holds `held`, at
    /// least one, from `at`. `path_key` begins the digest of a path.
    #[inline(always)]
    pub(super) fn step(
        &mut self,
        buffer: &Buffer,
        at: u32,
        held: u32,
        available: u32,
        path_key: u64,
    ) -> Result<u32, Malformed> {
        let mut read = 0;
        if self.phase == phase::FIELD {
            let byte = u32::from(buffer.byte(at));
            read = 1;
            let (representation, mask) = if byte & 0x80 != 0 {
                (representation::INDEXED, 0x7f)
            } else if byte & 0x40 != 0 {
                (representation::INSERTED, 0x3f)
            } else if byte & 0x20 != 0 {
                (representation::RESIZED, 0x1f)
            } else {
                (representation::LITERAL, 0x0f)
            };
            self.representation = representation;
            let index = byte & mask;
            if index == mask {
                self.begin_more(index, phase::INDEX_MORE);
            } else {
                self.index(index)?;
                if byte & 0x80 != 0 {
                    return self.more_indexed(buffer, at, held);
                }
            }
        } else if self.phase == phase::INDEX_MORE {
            read = 1;
            if self.more(buffer.byte(at))? {
                self.index(self.integer)?;
            }
        }
        if self.phase == phase::LENGTH && read < held {
            let byte = u32::from(buffer.byte(at + read));
            read += 1;
            self.is_huffman = byte >> 7;
            let length = byte & 0x7f;
            if length == 0x7f {
                self.begin_more(length, phase::LENGTH_MORE);
            } else {
                self.length(length, path_key);
            }
        } else if self.phase == phase::LENGTH_MORE && read < held {
            let byte = buffer.byte(at + read);
            read += 1;
            if self.more(byte)? {
                if self.integer > STRING_BYTES_MAX {
                    return Err(Malformed);
                }
                self.length(self.integer, path_key);
            }
        }
        if self.phase == phase::STRING {
            if self.says_nothing() {
                read += self.skip(available - read);
            } else if read < held {
                read += self.take(buffer, at + read, held - read);
            }
            if self.string_read == self.string_length {
                self.string_ended();
            }
        }
        Ok(read)
    }

    /// Reads the references that follow the one at `at`, as most fields of a connection's later requests are.
    #[inline(always)]
    fn more_indexed(&mut self, buffer: &Buffer, at: u32, held: u32) -> Result<u32, Malformed> {
        let mut read = 1;
        while read < INDEXED_MAX && read < held {
            let byte = u32::from(buffer.byte(at + read));
            if byte & 0x80 == 0 || byte == 0xff {
                break;
            }
            self.index(byte & 0x7f)?;
            read += 1;
        }
        Ok(read)
    }

    #[inline(always)]
    fn begin_more(&mut self, prefix: u32, phase: u32) {
        self.integer = prefix;
        self.shift = 0;
        self.phase = phase;
    }

    /// Takes one more byte of an integer (RFC 7541 section 5.1); says whether it was the last.
    #[inline(always)]
    fn more(&mut self, byte: u8) -> Result<bool, Malformed> {
        let shift = self.shift;
        // Four bytes reach 2^28, which neither an index nor a string does.
        if shift > 21 {
            return Err(Malformed);
        }
        self.integer = self
            .integer
            .wrapping_add(u32::from(byte & 0x7f) << (shift & 31));
        self.shift = shift + 7;
        Ok(byte & 0x80 == 0)
    }

    /// The field's first number is known.
    #[inline(always)]
    fn index(&mut self, index: u32) -> Result<(), Malformed> {
        match self.representation {
            representation::INDEXED => {
                // RFC 7541 section 6.1.
                if index == 0 {
                    return Err(Malformed);
                }
                self.phase = phase::FIELD;
                self.block.fields = self.block.fields.wrapping_add(1);
                let entry = self.entry(index);
                if entry.name() == Name::Path as u32 {
                    // A literal before, in a request that is malformed, must not name this one.
                    self.block.path_length = 0;
                }
                self.apply(entry);
            }
            representation::RESIZED => self.phase = phase::FIELD,
            _ => {
                self.phase = phase::LENGTH;
                if index == 0 {
                    self.is_value = 0;
                    return Ok(());
                }
                self.is_value = 1;
                self.name = if index <= STATIC_ENTRIES {
                    Name::from_static(index) as u32
                } else {
                    Entry(self.slot(index)).name()
                };
            }
        }
        Ok(())
    }

    /// Whether the string that is being read need not be looked at.
    #[inline(always)]
    fn says_nothing(&self) -> bool {
        if self.is_value == 0 {
            return self.string_length > NAME_BYTES_MAX;
        }
        self.name == Name::Other as u32 || self.name == Name::Unknown as u32
    }

    /// The length of a string is known.
    #[inline(always)]
    fn length(&mut self, length: u32, path_key: u64) {
        self.string_length = length;
        self.string_read = zero32();
        self.partial = zero();
        self.head[0] = zero();
        self.head[1] = zero();
        self.behind_head = zero32();
        self.digest = if self.is_value != 0 && self.name == Name::Path as u32 {
            path_key
        } else {
            digest::name_key()
        };
        self.phase = phase::STRING;
    }

    /// Passes over a string that says nothing to the meter.
    #[inline(always)]
    fn skip(&mut self, available: u32) -> u32 {
        let left = self.string_length - self.string_read;
        let skipped = if left < available { left } else { available };
        self.string_read += skipped;
        skipped
    }

    /// Takes bytes of the string up to the next multiple of eight.
    #[inline(always)]
    fn take(&mut self, buffer: &Buffer, at: u32, held: u32) -> u32 {
        let read = self.string_read;
        let inside = read & 7;
        let left = self.string_length - read;
        let mut count = 8 - inside;
        if left < count {
            count = left;
        }
        if held < count {
            count = held;
        }
        if count == 0 {
            return 0;
        }
        let bytes = buffer.word(at) & (u64::MAX >> ((64 - 8 * count) & 63));
        self.partial |= bytes << ((8 * inside) & 63);
        self.string_read = read + count;
        if inside + count == 8 || self.string_read == self.string_length {
            self.word(read >> 3);
        }
        count
    }

    /// The `number`-th word of the string is complete.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "takes four bytes of a word"
    )]
    fn word(&mut self, number: u32) {
        let word = self.partial;
        self.partial = 0;
        self.digest = digest::mix(self.digest, word);
        match number {
            0 => self.head[0] = word,
            1 => self.head[1] = word,
            2 => self.behind_head = word as u32,
            _ => {}
        }
        if self.is_value == 0 {
            return;
        }
        if self.name == Name::Path as u32 {
            set_word(&mut self.path, number, word);
        } else if self.name == Name::TraceParent as u32 {
            set_word(&mut self.block.trace_parent, number, word);
        }
    }

    #[inline(always)]
    fn string_ended(&mut self) {
        let is_huffman = self.is_huffman != 0;
        if self.is_value == 0 {
            let digest = digest::finish(self.digest, self.string_length, is_huffman);
            self.name = Name::from_digest(digest) as u32;
            self.is_value = 1;
            self.phase = phase::LENGTH;
            return;
        }
        self.phase = phase::FIELD;
        self.block.fields = self.block.fields.wrapping_add(1);
        let entry = self.literal();
        if self.representation == representation::INSERTED {
            self.insert(entry);
        }
        self.apply(entry);
    }

    /// What the literal value that has just ended says.
    #[inline(always)]
    fn literal(&mut self) -> Entry {
        let is_huffman = self.is_huffman != 0;
        let length = self.string_length;
        let marked = length | if is_huffman { HUFFMAN_BIT } else { 0 };
        let name = Name::from_u32(self.name);
        let value = match name {
            Name::Path => {
                self.block.path_length = marked;
                digest::finish(self.digest, length, is_huffman)
            }
            Name::HttpStatus | Name::GrpcStatus => {
                u64::from(short_number(self.head, length, is_huffman))
            }
            Name::ContentType => {
                content_type(self.head, self.behind_head, length, is_huffman) as u64
            }
            Name::Timeout => timeout_us(self.head, length, is_huffman).min(Entry::VALUE_MAX),
            Name::TraceParent => {
                let fits = length != 0 && length as usize <= TRACE_WORDS * 8;
                self.block.trace_parent_kept = if fits { marked } else { 0 };
                self.trace_parent = digest::finish(self.digest, length, is_huffman);
                self.trace_parent
            }
            Name::Other | Name::Unknown => 0,
        };
        Entry::new(name, value)
    }

    #[inline(always)]
    fn insert(&mut self, entry: Entry) {
        let inserts = self.inserts;
        self.slots[inserts as usize & (SLOTS - 1)] = entry.0;
        self.inserts = inserts.wrapping_add(1);
        if (self.known as usize) < SLOTS {
            self.known += 1;
        }
    }

    /// The slot that a dynamic `index` (62: the newest) refers to.
    #[inline(always)]
    fn slot(&self, index: u32) -> u64 {
        let age = index.wrapping_sub(STATIC_ENTRIES + 1);
        if age >= self.known {
            return Entry::new(Name::Unknown, 0).0;
        }
        self.slots[self.inserts.wrapping_sub(1).wrapping_sub(age) as usize & (SLOTS - 1)]
    }

    #[inline(always)]
    fn entry(&self, index: u32) -> Entry {
        if index > STATIC_ENTRIES {
            return Entry(self.slot(index));
        }
        Entry::from_static(index)
    }

    /// Takes note of what a field says.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "made from 32 bits")]
    fn apply(&mut self, entry: Entry) {
        let value = entry.value();
        match Name::from_u32(entry.name()) {
            Name::Path => self.block.path = value,
            Name::HttpStatus => self.block.http_status = value as u32,
            Name::GrpcStatus => self.block.grpc_status = value as u32,
            Name::ContentType => self.block.content = value as u32,
            Name::Timeout => self.block.timeout_us = value,
            Name::Unknown => {
                self.block.unknown_references = self.block.unknown_references.wrapping_add(1);
            }
            Name::TraceParent => {
                // A reference to an older one than that which stands in the block is not followed.
                self.block.trace_parent_length = if value == self.trace_parent {
                    self.block.trace_parent_kept
                } else {
                    0
                };
            }
            Name::Other => {}
        }
    }
}

/// Sets a word that there is room for. The kernel's verifier does not follow the comparison to the address: it sees the
/// mask, which changes nothing.
#[inline(always)]
fn set_word<const WORDS: usize>(words: &mut [u64; WORDS], number: u32, word: u64) {
    const { assert!(WORDS <= 32) };
    if (number as usize) < WORDS {
        let at = bound::<31>(number) as usize;
        // SAFETY: less than the length.
        let place = unsafe { words.as_mut_ptr().add(at) };
        // SAFETY: a word of the array.
        unsafe { place.write(word) };
    }
}
