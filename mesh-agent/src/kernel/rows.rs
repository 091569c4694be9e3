//! Connection counts: what the kernel has of ended connections, plus what open ones show right now.
//!
//! The two are read one after the other, and connections end in between. So the rows are read before and after
//! the open sockets: a pair whose connections all went on is exact, the others are tried again. What is still moving
//! then may be a little behind, never ahead, and no figure ever goes back.

use super::bpf::{Cursor, read_batch};
use mesh_common::connection::{ConnectionKey, ConnectionRow};
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use zerocopy::FromZeros;

/// Rows read with one system call.
const BATCH: usize = 128;

/// How often pairs that move are tried again.
const ATTEMPTS: usize = 3;

/// What open connections of one pair add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) retransmits: u64,
}

/// Rows by pair.
pub(super) type Rows = HashMap<ConnectionKey, Box<ConnectionRow>>;

/// What open connections add up to, by pair.
pub(super) type OpenTotals = HashMap<ConnectionKey, Open>;

/// Reads all rows.
pub(super) fn read_rows(map: BorrowedFd<'_>) -> io::Result<Rows> {
    let mut keys = vec![
        ConnectionKey {
            source: 0,
            destination: 0
        };
        BATCH
    ];
    let mut values = vec![ConnectionRow::new_zeroed(); BATCH];
    let mut rows = Rows::new();
    let mut cursor = Cursor::Start;
    while cursor != Cursor::End {
        let count = read_batch(map, &mut cursor, &mut keys, &mut values)?;
        let read = keys.iter().zip(&values).take(count);
        rows.extend(read.map(|(key, row)| (*key, Box::new(*row))));
    }
    Ok(rows)
}

/// Reads rows and open sockets until they agree, a bounded number of times, and adds them up.
///
/// # Errors
///
/// The rows cannot be read.
pub(super) fn measure<E>(
    mut read_rows: impl FnMut() -> Result<Rows, E>,
    mut read_open: impl FnMut() -> OpenTotals,
) -> Result<Rows, E> {
    let mut settled = Rows::new();
    let mut before = read_rows()?;
    for attempt in 1.. {
        let open = read_open();
        let after = read_rows()?;
        for (key, mut row) in before {
            let is_still = after
                .get(&key)
                .is_none_or(|after| ended(after) == ended(&row));
            if (is_still || attempt == ATTEMPTS) && !settled.contains_key(&key) {
                add(&mut row, open.get(&key).copied().unwrap_or_default());
                settled.insert(key, row);
            }
        }
        if attempt == ATTEMPTS || after.keys().all(|key| settled.contains_key(key)) {
            break;
        }
        before = after;
    }
    Ok(settled)
}

fn ended(row: &ConnectionRow) -> u64 {
    row.closed.iter().chain(&row.failed).sum()
}

fn add(row: &mut ConnectionRow, open: Open) {
    row.sent_bytes += open.sent_bytes;
    row.received_bytes += open.received_bytes;
    row.retransmits += open.retransmits;
}

/// What was exported last, so that nothing goes back.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    exported: HashMap<ConnectionKey, Exported>,
}

#[derive(Clone, Copy, Debug)]
struct Exported {
    opened: u64,
    open: Open,
}

impl Ledger {
    /// Raises figures that would be less than the ones exported before, and remembers the rest. A
    /// row that was removed and begins anew is another one.
    pub(super) fn clamp(&mut self, rows: &mut Rows) {
        let mut exported = HashMap::with_capacity(rows.len());
        for (key, row) in rows {
            if let Some(last) = self
                .exported
                .get(key)
                .filter(|last| last.opened <= row.opened)
            {
                row.sent_bytes = row.sent_bytes.max(last.open.sent_bytes);
                row.received_bytes = row.received_bytes.max(last.open.received_bytes);
                row.retransmits = row.retransmits.max(last.open.retransmits);
            }
            let open = Open {
                sent_bytes: row.sent_bytes,
                received_bytes: row.received_bytes,
                retransmits: row.retransmits,
            };
            exported.insert(
                *key,
                Exported {
                    opened: row.opened,
                    open,
                },
            );
        }
        self.exported = exported;
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Open, OpenTotals, Rows, measure};
    use mesh_common::connection::{ConnectionKey, ConnectionRow};
    use std::convert::Infallible;
    use zerocopy::FromZeros;

    fn key(destination: u32) -> ConnectionKey {
        ConnectionKey {
            source: 1,
            destination,
        }
    }

    fn row(opened: u64, closed: u64, sent_bytes: u64) -> Box<ConnectionRow> {
        let mut row = ConnectionRow::new_zeroed();
        row.opened = opened;
        row.closed[0] = closed;
        row.sent_bytes = sent_bytes;
        Box::new(row)
    }

    fn open(key: ConnectionKey, sent_bytes: u64) -> OpenTotals {
        OpenTotals::from([(
            key,
            Open {
                sent_bytes,
                ..Open::default()
            },
        )])
    }

    /// Plays back what the kernel shows, one reading after the other.
    fn play(rows: Vec<Rows>, open: Vec<OpenTotals>) -> (Rows, usize) {
        let mut rows = rows.into_iter();
        let mut open = open.into_iter();
        let mut dumps = 0;
        let measured = measure(
            || Ok::<_, Infallible>(rows.next().unwrap()),
            || {
                dumps += 1;
                open.next().unwrap()
            },
        );
        (measured.unwrap(), dumps)
    }

    #[test]
    fn open_connections_are_added_to_ended_ones() {
        let rows = Rows::from([(key(1), row(2, 1, 100))]);

        let (measured, dumps) = play(vec![rows.clone(), rows], vec![open(key(1), 11)]);

        assert_eq!(measured[&key(1)].sent_bytes, 111);
        assert_eq!(dumps, 1);
    }

    #[test]
    fn a_pair_that_moves_is_read_again_and_others_are_kept() {
        let still = (key(2), row(1, 1, 5));
        let before = Rows::from([(key(1), row(2, 1, 100)), still.clone()]);
        let after = Rows::from([(key(1), row(2, 2, 150)), still]);

        let (measured, dumps) = play(
            vec![before, after.clone(), after],
            vec![open(key(1), 50), OpenTotals::new()],
        );

        assert_eq!(measured[&key(1)].sent_bytes, 150);
        assert_eq!(measured[&key(2)].sent_bytes, 5);
        assert_eq!(dumps, 2);
    }

    #[test]
    fn a_pair_that_never_rests_is_behind_but_not_ahead() {
        let reading = |step: u64| Rows::from([(key(1), row(10, step, 100 * step))]);

        let (measured, dumps) = play(
            (1..=4).map(reading).collect(),
            vec![open(key(1), 7), open(key(1), 7), open(key(1), 7)],
        );

        assert_eq!(measured[&key(1)].sent_bytes, 307);
        assert_eq!(dumps, 3);
    }

    #[test]
    fn no_figure_goes_back_unless_the_row_is_a_new_one() {
        let mut ledger = Ledger::default();
        let mut export = |opened, sent_bytes| {
            let mut rows = Rows::from([(key(1), row(opened, 0, sent_bytes))]);
            ledger.clamp(&mut rows);
            rows[&key(1)].sent_bytes
        };

        assert_eq!(export(5, 100), 100);
        assert_eq!(export(5, 90), 100);
        assert_eq!(export(6, 120), 120);
        assert_eq!(export(1, 10), 10);
    }
}
