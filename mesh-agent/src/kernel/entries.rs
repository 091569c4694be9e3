//! Walks through the entries of a kernel map.

use super::bpf::{Cursor, read_batch};
use std::io;
use std::os::fd::BorrowedFd;
use zerocopy::{FromBytes, IntoBytes};

/// Memory for what is read with one system call.
const BATCH_BYTES: usize = 64 * 1024;

/// Entries read with one system call: at least as many as a bucket of a hash ever has.
const BATCH_MIN: usize = 64;

/// Shows every entry of a hash or array map to `visit`, many with one system call; returns how many there were.
pub(super) fn visit<K, V>(map: BorrowedFd<'_>, mut visit: impl FnMut(&K, &V)) -> io::Result<usize>
where
    K: Clone + FromBytes + IntoBytes,
    V: Clone + FromBytes + IntoBytes,
{
    let batch = (BATCH_BYTES / (size_of::<K>() + size_of::<V>())).max(BATCH_MIN);
    let mut keys = vec![K::new_zeroed(); batch];
    let mut values = vec![V::new_zeroed(); batch];
    let mut cursor = Cursor::Start;
    let mut total = 0;
    while cursor != Cursor::End {
        let count = read_batch(map, &mut cursor, &mut keys, &mut values)?;
        for (key, value) in keys.iter().zip(&values).take(count) {
            visit(key, value);
        }
        total += count;
    }
    Ok(total)
}
