//! The table of a direction: the newest rows, as many as fit (RFC 7541, 4).

use std::collections::VecDeque;

/// Rows by age, each with the bytes that it counts as.
#[derive(Debug)]
pub(super) struct Table<T> {
    rows: VecDeque<(T, usize)>,
    bytes: usize,
    bytes_max: usize,
}

impl<T> Table<T> {
    /// An empty one, which allocates nothing.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            rows: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(super) const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The row inserted last but `age`.
    pub(super) fn get(&self, age: usize) -> Option<&T> {
        self.rows.get(age).map(|(row, _)| row)
    }

    /// Puts a row in front; the oldest make room. One that does not fit leaves the table empty, as it does at the other end.
    pub(super) fn insert(&mut self, row: T, bytes: usize) {
        self.evict(self.bytes_max.saturating_sub(bytes));
        if bytes <= self.bytes_max {
            self.rows.push_front((row, bytes));
            self.bytes += bytes;
        }
    }

    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.evict(bytes_max);
    }

    fn evict(&mut self, bytes_left: usize) {
        while self.bytes > bytes_left
            && let Some((_, bytes)) = self.rows.pop_back()
        {
            self.bytes -= bytes;
        }
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}
