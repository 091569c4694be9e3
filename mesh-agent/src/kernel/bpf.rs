//! The few bpf(2) commands that aya 0.14 does not offer.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use zerocopy::{FromBytes, IntoBytes};

/// Commands of `enum bpf_cmd` in `linux/bpf.h`.
const MAP_LOOKUP_BATCH: libc::c_int = 24;

/// The member `batch` of `union bpf_attr`.
#[repr(C)]
#[derive(Debug, FromBytes, IntoBytes)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Calls bpf(2).
///
/// # Safety
///
/// Every address in `attributes` must be valid for what `command` reads or writes there.
unsafe fn bpf<T: IntoBytes + FromBytes>(
    command: libc::c_int,
    attributes: &mut T,
) -> io::Result<libc::c_long> {
    let size = size_of::<T>();
    // SAFETY: the attributes are a plain record of that size; the caller vouches for the addresses in them.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Where the reading of a map stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cursor {
    /// At its beginning.
    #[default]
    Start,
    /// Behind what was read so far: the kernel's token, an index of buckets or entries.
    At(u64),
    /// At its end.
    End,
}

/// Reads entries of a hash or array map, many with one system call (kernel 5.6), and moves the cursor behind
/// them. Entries that stay in the map all the while are seen exactly once.
///
/// Returns how many keys and values were filled in.
pub(super) fn read_batch<K, V>(
    map: impl AsFd,
    cursor: &mut Cursor,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<usize>
where
    K: FromBytes + IntoBytes,
    V: FromBytes + IntoBytes,
{
    let mut token = match *cursor {
        Cursor::Start => 0,
        Cursor::At(token) => token,
        Cursor::End => return Ok(0),
    };
    let mut next = 0_u64;
    let room = keys.len().min(values.len());
    let map = map.as_fd();
    let mut attributes = BatchAttributes {
        in_batch: match cursor {
            Cursor::Start => 0,
            Cursor::At(_) | Cursor::End => address(&mut token),
        },
        out_batch: address(&mut next),
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(room).unwrap_or(u32::MAX),
        map_fd: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the tokens are 8 bytes of which the kernel uses 4, keys and values have room for `count` entries;
    // every bit pattern is valid for them, and all four outlive the call.
    let result = unsafe { bpf(MAP_LOOKUP_BATCH, &mut attributes) };
    *cursor = match result {
        Ok(_) => Cursor::At(next),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Cursor::End,
        Err(error) => return Err(error),
    };
    Ok((attributes.count as usize).min(room))
}

fn address<T>(value: &mut T) -> u64 {
    std::ptr::from_mut(value) as u64
}
