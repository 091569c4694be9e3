//! Finds members of `struct sock` in the kernel's own type information, `/sys/kernel/btf/vmlinux`.
//!
//! A loader that relocates programs parses all of it into memory; two byte offsets need neither that nor
//! more heap than one buffer. Format: Documentation/bpf/btf.rst of the kernel.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Where the kernel shows its type information.
pub(super) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// Kinds of `enum btf_kind` that are followed by something, and what.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const ENUM64: u32 = 19;
}

/// Byte offsets in `struct sock`; zero: not found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SockOffsets {
    /// Of `sk_err`.
    pub(super) err: u32,
    /// Of `sk_flags`.
    pub(super) flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Header {
    magic: u16,
    version: u8,
    flags: u8,
    header_length: u32,
    types_offset: u32,
    types_length: u32,
    strings_offset: u32,
    strings_length: u32,
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Type {
    name: u32,
    info: u32,
    size_or_type: u32,
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Member {
    name: u32,
    member_type: u32,
    /// In bits; the high byte is a bit field's size if the structure has any.
    offset: u32,
}

impl Type {
    fn kind(&self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    fn vlen(&self) -> u32 {
        self.info & 0xffff
    }

    /// Bytes that follow the type.
    fn tail(&self) -> u32 {
        match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => self.vlen() * 12,
            kind::ENUM | kind::FUNC_PROTO => self.vlen() * 8,
            _ => 0,
        }
    }
}

/// Offsets of the strings that are looked for; zero, the empty string, if they are not there.
#[derive(Clone, Copy, Debug, Default)]
struct NameOffsets {
    sock: u32,
    err: u32,
    flags: u32,
}

/// Looks the offsets up in the running kernel.
///
/// # Errors
///
/// The kernel shows no type information, or it is malformed.
pub(super) fn sock_offsets() -> io::Result<SockOffsets> {
    scan(&mut BufReader::with_capacity(BUFFER, File::open(VMLINUX)?))
}

fn scan(source: &mut (impl BufRead + Seek)) -> io::Result<SockOffsets> {
    let header: Header = read(source)?;
    if header.magic != MAGIC {
        return Err(io::Error::new(ErrorKind::InvalidData, "no BTF magic"));
    }
    let section =
        |offset: u32| SeekFrom::Start(u64::from(header.header_length) + u64::from(offset));
    source.seek(section(header.strings_offset))?;
    let names = find_names(&mut source.by_ref().take(u64::from(header.strings_length)))?;
    source.seek(section(header.types_offset))?;
    find_sock(&mut source.take(u64::from(header.types_length)), names)
}

fn find_names(strings: &mut impl BufRead) -> io::Result<NameOffsets> {
    let mut names = NameOffsets::default();
    let mut offset = 0_u32;
    let mut name = Vec::new();
    loop {
        name.clear();
        let length = strings.read_until(0, &mut name)?;
        if length == 0 {
            return Ok(names);
        }
        match name.as_slice() {
            b"sock\0" => names.sock = offset,
            b"sk_err\0" => names.err = offset,
            b"sk_flags\0" => names.flags = offset,
            _ => {}
        }
        offset = offset.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

fn find_sock(types: &mut io::Take<impl BufRead>, names: NameOffsets) -> io::Result<SockOffsets> {
    while types.limit() >= size_of::<Type>() as u64 {
        let candidate: Type = read(types)?;
        if candidate.kind() == kind::STRUCT && candidate.name == names.sock && names.sock != 0 {
            return read_members(types, candidate.vlen(), names);
        }
        skip(types, u64::from(candidate.tail()))?;
    }
    Ok(SockOffsets::default())
}

fn read_members(types: &mut impl Read, count: u32, names: NameOffsets) -> io::Result<SockOffsets> {
    let mut offsets = SockOffsets::default();
    for _ in 0..count {
        let Member { name, offset, .. } = read(types)?;
        let bytes = (offset & 0x00ff_ffff) / 8;
        if name == names.err && name != 0 {
            offsets.err = bytes;
        } else if name == names.flags && name != 0 {
            offsets.flags = bytes;
        }
    }
    Ok(offsets)
}

fn read<T: FromZeros + FromBytes + IntoBytes>(source: &mut impl Read) -> io::Result<T> {
    let mut value = T::new_zeroed();
    source.read_exact(value.as_mut_bytes())?;
    Ok(value)
}

fn skip(source: &mut impl BufRead, mut count: u64) -> io::Result<()> {
    while count > 0 {
        let available = source.fill_buf()?.len();
        if available == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let step = count.min(available as u64);
        source.consume(usize::try_from(step).unwrap_or(available));
        count -= step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SockOffsets, VMLINUX, scan, sock_offsets};
    use proptest::prelude::*;
    use std::io::Cursor;

    /// Builds type information with an `int`, a decoy structure and `struct sock`.
    fn blob() -> Vec<u8> {
        let strings = b"\0int\0other\0sock\0sk_err\0sk_flags\0";
        let name = |wanted: &str| {
            let text = std::str::from_utf8(strings).unwrap();
            u32::try_from(text.find(&format!("\0{wanted}\0")).unwrap() + 1).unwrap()
        };
        let mut types = Vec::new();
        for word in [
            [name("int"), 1 << 24, 4].as_slice(),
            &[0x0100_0020],
            &[name("other"), (4 << 24) | 1, 4, name("sk_err"), 1, 64],
            &[name("sock"), (4 << 24) | (1 << 31) | 2, 16],
            &[
                name("sk_err"),
                1,
                8 * 20,
                name("sk_flags"),
                1,
                (3 << 24) | (8 * 40),
            ],
        ]
        .concat()
        {
            types.extend_from_slice(&u32::to_ne_bytes(word));
        }
        let mut blob = Vec::new();
        blob.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
        blob.extend_from_slice(&[1, 0]);
        for word in [24, 0, types.len(), types.len(), strings.len()] {
            blob.extend_from_slice(&u32::try_from(word).unwrap().to_ne_bytes());
        }
        blob.extend_from_slice(&types);
        blob.extend_from_slice(strings);
        blob
    }

    #[test]
    fn members_of_struct_sock_are_found_among_other_types() {
        let offsets = scan(&mut Cursor::new(blob())).unwrap();

        assert_eq!(offsets, SockOffsets { err: 20, flags: 40 });
    }

    #[test]
    fn members_that_are_missing_have_offset_zero() {
        let mut blob = blob();
        let position = blob
            .windows(8)
            .position(|window| window == b"sk_flags")
            .unwrap();
        blob[position] = b'x';

        let offsets = scan(&mut Cursor::new(blob)).unwrap();

        assert_eq!(offsets, SockOffsets { err: 20, flags: 0 });
    }

    #[test]
    fn the_running_kernel_has_both_members_if_it_shows_types() {
        if !std::path::Path::new(VMLINUX).exists() {
            return;
        }
        let offsets = sock_offsets().unwrap();

        assert!(offsets.err > 0 && offsets.flags > 0, "{offsets:?}");
    }

    proptest! {
        #[test]
        fn damaged_type_information_is_an_error_or_a_miss(position in 0_usize..160, byte in any::<u8>(), cut in 0_usize..160) {
            let mut blob = blob();
            let length = blob.len();
            blob[position % length] = byte;
            blob.truncate(cut);
            let _offsets = scan(&mut Cursor::new(blob));
        }
    }
}
