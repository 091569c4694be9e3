//! Fields as blocks.

use bytes::BytesMut;

use super::hash::Hashes;
use super::places::Places;
use super::table::Table;
use super::{FIELD_BYTES, TABLE_BYTES_MAX, fixed, number, text};

/// What becomes of a field that is in no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// It is added to the table: it will come again.
    Incremental,
    /// It is not worth a place.
    Without,
    /// Nobody may store it: it is sensitive (RFC 7541, 7.1.3). It is not looked for either.
    Never,
}

/// One direction of a connection, as it is sent.
#[derive(Debug)]
pub struct Encoder {
    table: Table<Texts>,
    /// How many entries were ever inserted, modulo 2^32.
    insertions: u32,
    places: Places,
    /// The smallest size of the table since the last block, if the next one has to tell its size.
    smallest: Option<usize>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// A connection's start: the table is as large as every peer takes it to be.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Table::new(TABLE_BYTES_MAX),
            insertions: 0,
            places: Places::default(),
            smallest: None,
        }
    }

    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`, of which never more than [`TABLE_BYTES_MAX`] is used; the next block tells it.
    pub fn set_table_bytes_max(&mut self, bytes: u32) {
        let bytes_max = TABLE_BYTES_MAX.min(bytes as usize);
        if bytes_max == self.table.bytes_max() {
            return;
        }
        let smallest = self
            .smallest
            .map_or(bytes_max, |before| before.min(bytes_max));
        self.smallest = Some(smallest);
        self.table.resize(bytes_max);
    }

    /// Begins a block: with the table's new sizes, if it was resized (RFC 7541, 4.2).
    pub fn begin(&mut self, out: &mut BytesMut) {
        let Some(smallest) = self.smallest.take() else {
            return;
        };
        let bytes_max = self.table.bytes_max();
        if smallest < bytes_max {
            number::write(out, 0x20, 5, smallest);
        }
        number::write(out, 0x20, 5, bytes_max);
    }

    /// Writes a field. `name` is in lower case; a pseudo-header's begins with its colon.
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut BytesMut) {
        let hashes = Hashes::of(name, value);
        if indexing != Indexing::Never
            && let Some(index) = self.find_field(hashes, name, value)
        {
            number::write(out, 0x80, 7, index);
            return;
        }
        let fixed_name = fixed::find_name(hashes, name);
        let name_index = fixed_name.or_else(|| self.find_name(hashes, name));
        let bytes = name.len() + value.len() + FIELD_BYTES;
        // One that takes nearly all of the table would leave everything else to be spelt out again.
        let is_inserted =
            indexing == Indexing::Incremental && bytes <= self.table.bytes_max() / 4 * 3;
        let (pattern, prefix_bits) = match indexing {
            Indexing::Never => (0x10, 4),
            Indexing::Incremental if is_inserted => (0x40, 6),
            Indexing::Incremental | Indexing::Without => (0, 4),
        };
        number::write(out, pattern, prefix_bits, name_index.unwrap_or(0));
        if name_index.is_none() {
            text::write(out, name);
        }
        text::write(out, value);
        if is_inserted {
            self.table.insert(Texts::new(name, value), bytes);
            self.places.remember(hashes.field, self.insertions);
            if fixed_name.is_none() {
                self.places.remember(hashes.name, self.insertions);
            }
            self.insertions = self.insertions.wrapping_add(1);
        }
    }

    fn find_field(&self, hashes: Hashes, name: &[u8], value: &[u8]) -> Option<usize> {
        let is_it = |texts: &Texts| texts.are(name, value);
        self.places
            .find(hashes.field, |at| self.get(at).is_some_and(is_it))
            .map(|insertion| self.index(insertion))
            .or_else(|| fixed::find_field(hashes, name, value))
    }

    fn find_name(&self, hashes: Hashes, name: &[u8]) -> Option<usize> {
        let is_it = |texts: &Texts| texts.name() == name;
        let found = self
            .places
            .find(hashes.name, |at| self.get(at).is_some_and(is_it));
        found.map(|insertion| self.index(insertion))
    }

    fn get(&self, insertion: u32) -> Option<&Texts> {
        self.table.get(self.age(insertion))
    }

    fn index(&self, insertion: u32) -> usize {
        fixed::COUNT + 1 + self.age(insertion)
    }

    /// How many were inserted since.
    const fn age(&self, insertion: u32) -> usize {
        self.insertions.wrapping_sub(insertion).wrapping_sub(1) as usize
    }

    #[cfg(test)]
    pub(super) const fn table_bytes(&self) -> usize {
        self.table.bytes()
    }
}

/// A name and its value, in one piece.
#[derive(Debug)]
struct Texts {
    both: Box<[u8]>,
    name_bytes: usize,
}

impl Texts {
    fn new(name: &[u8], value: &[u8]) -> Self {
        Self {
            both: [name, value].concat().into(),
            name_bytes: name.len(),
        }
    }

    fn name(&self) -> &[u8] {
        self.both.get(..self.name_bytes).unwrap_or_default()
    }

    fn are(&self, name: &[u8], value: &[u8]) -> bool {
        self.both.split_at_checked(self.name_bytes) == Some((name, value))
    }
}
