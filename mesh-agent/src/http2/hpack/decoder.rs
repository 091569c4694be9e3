//! Blocks as fields.

use super::field::{Entry, Field, Name};
use super::paths::{Paths, is_unindexed_path};
use super::table::Table;
use super::{Invalid, fixed, number, text};

/// One direction of a connection, as it is received.
#[derive(Debug)]
pub struct Decoder {
    table: Table<Entry>,
    paths: Paths,
    /// What was announced: how large the peer may make the table.
    table_bytes_max: usize,
}

impl Decoder {
    /// A connection's start. `table_bytes_max`: what was announced by `SETTINGS_HEADER_TABLE_SIZE`.
    #[must_use]
    pub const fn new(table_bytes_max: usize) -> Self {
        Self {
            table: Table::new(table_bytes_max),
            paths: Paths::new(),
            table_bytes_max,
        }
    }

    /// Decodes one whole block. `take` gets each field, and the bytes that it counts as (RFC 9113, 6.5.2).
    ///
    /// A byte may stand for a field of any size, none of which is allocated for it: how much of a block to keep is `take`'s affair.
    ///
    /// # Errors
    /// When the block cannot be decoded; none behind it can be.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut take: impl FnMut(&Field, usize),
    ) -> Result<(), Invalid> {
        let mut rest = block;
        let mut is_begun = false;
        while let Some(first) = rest.first() {
            // RFC 7541, 6: what a field is begins with tells how it is written.
            match first.leading_zeros() {
                0 => {
                    let entry = self.entry(number::read(&mut rest, 7)?)?;
                    take(&entry.field, entry.bytes);
                }
                1 => {
                    let entry = self.literal(&mut rest, 6)?;
                    take(&entry.field, entry.bytes);
                    let bytes = entry.bytes;
                    self.table.insert(entry, bytes);
                }
                2 => {
                    self.resize(number::read(&mut rest, 5)?, is_begun)?;
                    continue;
                }
                _ if is_unindexed_path(*first) => self.path(&mut rest, &mut take)?,
                zeros => {
                    let mut entry = self.literal(&mut rest, 4)?;
                    if zeros == 3 {
                        entry.set_sensitive();
                    }
                    take(&entry.field, entry.bytes);
                }
            }
            is_begun = true;
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<&Entry, Invalid> {
        let entry = match index.checked_sub(fixed::COUNT + 1) {
            Some(age) => self.table.get(age),
            None => fixed::get(index),
        };
        entry.ok_or(Invalid::Index(index))
    }

    fn literal(&self, block: &mut &[u8], prefix_bits: u32) -> Result<Entry, Invalid> {
        let name = match number::read(block, prefix_bits)? {
            0 => Name::parse(&text::read(block)?),
            index => self.entry(index)?.name.clone(),
        };
        Ok(Entry::new(name, text::read(block)?))
    }

    fn path(
        &mut self,
        block: &mut &[u8],
        mut take: impl FnMut(&Field, usize),
    ) -> Result<(), Invalid> {
        let mut written = *block;
        number::read(block, 4)?;
        text::split(block)?;
        let (key, _) = written.split_at(written.len() - block.len());
        if let Some(entry) = self.paths.find(key) {
            take(&entry.field, entry.bytes);
            return Ok(());
        }
        let entry = self.literal(&mut written, 4)?;
        take(&entry.field, entry.bytes);
        self.paths.keep(key, entry);
        Ok(())
    }

    fn resize(&mut self, bytes: usize, is_begun: bool) -> Result<(), Invalid> {
        if is_begun {
            return Err(Invalid::LateResize);
        }
        if bytes > self.table_bytes_max {
            return Err(Invalid::TableBytes(bytes));
        }
        self.table.resize(bytes);
        Ok(())
    }

    #[cfg(test)]
    pub(super) const fn table_bytes(&self) -> usize {
        self.table.bytes()
    }
}
