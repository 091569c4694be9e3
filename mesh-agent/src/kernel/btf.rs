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

/// What the programs need to know of the kernel's sockets; a zero offset in `struct sock` means: not found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SockTypes {
    /// Offset of `sk_err`.
    pub(super) err: u32,
    /// Offset of `sk_flags` (`__sk_common.skc_flags`).
    pub(super) flags: u32,
    /// Whether there is a `struct mptcp_sock`, that is, whether the kernel was built with MPTCP.
    pub(super) has_mptcp: bool,
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
    sock_common: u32,
    err: u32,
    flags: u32,
    mptcp_sock: u32,
}

/// What the scan has met so far.
///
/// `sk_flags` is a name for `__sk_common.skc_flags`, which stands in an anonymous union; `__sk_common` is the first
/// member of `struct sock`.
#[derive(Debug, Default)]
struct Met {
    err: u32,
    /// Id of the union that has `skc_flags`.
    flags_union: u32,
    /// Members of `struct sock_common` without a name: type id and byte offset.
    anonymous: Vec<(u32, u32)>,
    has_mptcp: bool,
}

/// Looks the offsets up in the running kernel.
///
/// # Errors
///
/// The kernel shows no type information, or it is malformed.
pub(super) fn sock_types() -> io::Result<SockTypes> {
    scan(&mut BufReader::with_capacity(BUFFER, File::open(VMLINUX)?))
}

fn scan(source: &mut (impl BufRead + Seek)) -> io::Result<SockTypes> {
    let header: Header = read(source)?;
    if header.magic != MAGIC {
        return Err(io::Error::new(ErrorKind::InvalidData, "no BTF magic"));
    }
    let section =
        |offset: u32| SeekFrom::Start(u64::from(header.header_length) + u64::from(offset));
    source.seek(section(header.strings_offset))?;
    let names = find_names(&mut source.by_ref().take(u64::from(header.strings_length)))?;
    source.seek(section(header.types_offset))?;
    let met = find_types(&mut source.take(u64::from(header.types_length)), names)?;
    let flags = met
        .anonymous
        .iter()
        .find(|(member_type, _)| *member_type == met.flags_union)
        .map_or(0, |(_, offset)| *offset);
    Ok(SockTypes {
        err: met.err,
        flags,
        has_mptcp: met.has_mptcp,
    })
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
            b"sock_common\0" => names.sock_common = offset,
            b"sk_err\0" => names.err = offset,
            b"skc_flags\0" => names.flags = offset,
            b"mptcp_sock\0" => names.mptcp_sock = offset,
            _ => {}
        }
        offset = offset.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

fn find_types(types: &mut io::Take<impl BufRead>, names: NameOffsets) -> io::Result<Met> {
    let mut met = Met::default();
    let mut id = 0;
    while types.limit() >= size_of::<Type>() as u64 {
        let candidate: Type = read(types)?;
        id += 1;
        let is = |kind: u32, name: u32| candidate.kind() == kind && candidate.name == name;
        if is(kind::STRUCT, names.sock) && names.sock != 0 {
            for_members(types, candidate, |name, _, offset| {
                if name == names.err && name != 0 {
                    met.err = offset;
                }
            })?;
        } else if is(kind::STRUCT, names.sock_common) && names.sock_common != 0 {
            for_members(types, candidate, |name, member_type, offset| {
                if name == 0 {
                    met.anonymous.push((member_type, offset));
                }
            })?;
        } else if is(kind::UNION, 0) {
            for_members(types, candidate, |name, _, _| {
                if name == names.flags && name != 0 {
                    met.flags_union = id;
                }
            })?;
        } else {
            met.has_mptcp |= is(kind::STRUCT, names.mptcp_sock) && names.mptcp_sock != 0;
            skip(types, u64::from(candidate.tail()))?;
        }
    }
    Ok(met)
}

/// Calls `visit` with name, type and byte offset of every member of a structure or union.
fn for_members(
    types: &mut impl Read,
    of: Type,
    mut visit: impl FnMut(u32, u32, u32),
) -> io::Result<()> {
    for _ in 0..of.vlen() {
        let Member {
            name,
            member_type,
            offset,
        } = read(types)?;
        visit(name, member_type, (offset & 0x00ff_ffff) / 8);
    }
    Ok(())
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
    use super::{SockTypes, VMLINUX, scan, sock_types};
    use proptest::prelude::*;
    use std::io::Cursor;

    const STRUCT: u32 = 4 << 24;
    const UNION: u32 = 5 << 24;
    const STRINGS: &str =
        "\0int\0other\0sock\0sk_err\0skc_flags\0sock_common\0__sk_common\0skc_node\0mptcp_sock\0";

    fn name(wanted: &str) -> u32 {
        let position = STRINGS.find(&format!("\0{wanted}\0")).unwrap();
        u32::try_from(position + 1).unwrap()
    }

    /// Builds type information with an `int`, decoys and what matters of `struct sock`.
    fn blob() -> Vec<u8> {
        let types = [
            [name("int"), 1 << 24, 4, 0x20].as_slice(),
            &[name("mptcp_sock"), STRUCT | 1, 4, name("sk_err"), 1, 0],
            &[name("other"), STRUCT | 1, 4, name("sk_err"), 1, 64],
            &[0, UNION | 1, 4, name("skc_node"), 1, 0],
            &[0, UNION | 1, 8, name("skc_flags"), 1, 0],
            &[name("sock_common"), STRUCT | 3, 16],
            &[name("skc_node"), 1, 0, 0, 4, 8 * 24, 0, 5, 8 * 40],
            &[name("sock"), STRUCT | (1 << 31) | 2, 16],
            &[
                name("__sk_common"),
                5,
                0,
                name("sk_err"),
                1,
                (3 << 24) | (8 * 160),
            ],
        ]
        .concat();
        let mut blob = Vec::new();
        blob.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
        blob.extend_from_slice(&[1, 0]);
        let length = types.len() * 4;
        for word in [24, 0, length, length, STRINGS.len()] {
            blob.extend_from_slice(&u32::try_from(word).unwrap().to_ne_bytes());
        }
        blob.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        blob.extend_from_slice(STRINGS.as_bytes());
        blob
    }

    #[test]
    fn both_members_are_found_among_other_types() {
        let offsets = scan(&mut Cursor::new(blob())).unwrap();

        assert_eq!(
            offsets,
            SockTypes {
                err: 160,
                flags: 40,
                has_mptcp: true,
            }
        );
    }

    #[test]
    fn a_member_that_is_missing_has_offset_zero() {
        let mut blob = blob();
        let position = blob
            .windows(9)
            .position(|window| window == b"skc_flags")
            .unwrap();
        blob[position] = b'x';

        let offsets = scan(&mut Cursor::new(blob)).unwrap();

        assert_eq!((offsets.err, offsets.flags), (160, 0));
    }

    #[test]
    fn a_kernel_without_the_structure_has_no_mptcp() {
        let mut blob = blob();
        let name = blob
            .windows(10)
            .position(|window| window == b"mptcp_sock")
            .unwrap();
        blob[name] = b'x';

        assert!(!scan(&mut Cursor::new(blob)).unwrap().has_mptcp);
    }

    #[test]
    fn the_running_kernel_has_both_members_if_it_shows_types() {
        if !std::path::Path::new(VMLINUX).exists() {
            return;
        }
        let offsets = sock_types().unwrap();

        assert!(offsets.err > 0 && offsets.flags > 0, "{offsets:?}");
    }

    proptest! {
        #[test]
        fn damaged_type_information_is_an_error_or_a_miss(position in any::<usize>(), byte in any::<u8>(), cut in 0_usize..400) {
            let mut blob = blob();
            let length = blob.len();
            blob[position % length] = byte;
            blob.truncate(cut);
            let _offsets = scan(&mut Cursor::new(blob));
        }
    }
}
