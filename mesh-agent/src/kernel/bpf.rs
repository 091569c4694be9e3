//! The few bpf(2) commands that aya 0.14 does not offer.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use zerocopy::{FromBytes, IntoBytes};

/// Commands of `enum bpf_cmd` in `linux/bpf.h`.
const MAP_CREATE: libc::c_int = 0;
const MAP_DELETE: libc::c_int = 3;
const PROG_LOAD: libc::c_int = 5;
const PROG_QUERY: libc::c_int = 16;
const MAP_LOOKUP_AND_DELETE: libc::c_int = 21;
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const LINK_CREATE: libc::c_int = 28;

/// Flags and types of `linux/bpf.h`.
const BPF_F_ALLOW_OVERRIDE: u32 = 1;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const MAP_TYPE_ARRAY: u32 = 2;

/// Programs told of in one query; more than anybody attaches to one hook.
const MAX_ATTACHED: usize = 64;

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

/// The members for one entry of a map.
#[repr(C)]
#[derive(Debug, FromBytes, IntoBytes)]
struct ElementAttributes {
    map_fd: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The first members of the one for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Debug, FromBytes, IntoBytes)]
struct MapAttributes {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// The first members of the one for `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Debug, FromBytes, IntoBytes)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The first members of `query`.
#[repr(C)]
#[derive(Debug, FromBytes, IntoBytes)]
struct QueryAttributes {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    program_count: u32,
    reserved: u32,
}

/// The first members of `link_create`.
#[repr(C)]
#[derive(Debug, FromBytes, IntoBytes)]
struct LinkAttributes {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
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

/// Removes an entry of a hash; tells whether it was there.
pub(super) fn remove<K: Clone + FromBytes + IntoBytes>(
    map: impl AsFd,
    key: &K,
) -> io::Result<bool> {
    let mut key = key.clone();
    let mut attributes = ElementAttributes {
        map_fd: map.as_fd().as_raw_fd().cast_unsigned(),
        reserved: 0,
        key: address(&mut key),
        value: 0,
        flags: 0,
    };
    // SAFETY: the key is read only; the caller says that it is of the map's type, and it outlives the call.
    match unsafe { bpf(MAP_DELETE, &mut attributes) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads an entry of a hash and removes it in one step (kernel 5.14); `None`: it is not there.
pub(super) fn take<K, V>(map: impl AsFd, key: &K) -> io::Result<Option<V>>
where
    K: Clone + FromBytes + IntoBytes,
    V: FromBytes + IntoBytes,
{
    let mut key = key.clone();
    let mut value = V::new_zeroed();
    let mut attributes = ElementAttributes {
        map_fd: map.as_fd().as_raw_fd().cast_unsigned(),
        reserved: 0,
        key: address(&mut key),
        value: address(&mut value),
        flags: 0,
    };
    // SAFETY: the caller says that key and value are of the map's types; every bit pattern is a value, and both outlive the
    // call.
    match unsafe { bpf(MAP_LOOKUP_AND_DELETE, &mut attributes) } {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn address<T>(value: &mut T) -> u64 {
    std::ptr::from_mut(value) as u64
}

/// A hook of a cgroup: type of the program and `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) program_type: u32,
    pub(super) attach_type: u32,
}

/// The hooks the mesh uses.
pub(super) const HOOKS: [Hook; 8] = [
    Hook {
        name: "connect4",
        program_type: 18,
        attach_type: 10,
    },
    Hook {
        name: "connect6",
        program_type: 18,
        attach_type: 11,
    },
    Hook {
        name: "getpeername4",
        program_type: 18,
        attach_type: 29,
    },
    Hook {
        name: "getpeername6",
        program_type: 18,
        attach_type: 30,
    },
    Hook {
        name: "sock_ops",
        program_type: 13,
        attach_type: 3,
    },
    Hook {
        name: "sock_release",
        program_type: 9,
        attach_type: 34,
    },
    Hook {
        name: "skb_egress",
        program_type: 8,
        attach_type: 1,
    },
    Hook {
        name: "skb_ingress",
        program_type: 8,
        attach_type: 0,
    },
];

/// What a trivial program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trivial {
    /// Returns 1: allows.
    Allow,
    /// Calls `bpf_set_retval(0)`, then allows.
    SetRetval,
}

/// Loads a program that changes nothing.
pub(super) fn load_trivial(hook: Hook, what: Trivial) -> io::Result<OwnedFd> {
    const MOVE_0_TO_R1: u64 = 0x1b7;
    const CALL_SET_RETVAL: u64 = 0x85 | (187 << 32);
    const MOVE_1_TO_R0: u64 = 0xb7 | (1 << 32);
    const EXIT: u64 = 0x95;
    let instructions: &[u64] = match what {
        Trivial::Allow => &[MOVE_1_TO_R0, EXIT],
        Trivial::SetRetval => &[MOVE_0_TO_R1, CALL_SET_RETVAL, MOVE_1_TO_R0, EXIT],
    };
    let mut attributes = LoadAttributes {
        program_type: hook.program_type,
        instruction_count: u32::try_from(instructions.len()).unwrap_or_default(),
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"mesh_check\0\0\0\0\0\0",
        interface: 0,
        attach_type: hook.attach_type,
    };
    // SAFETY: the instructions are as many as the count says, the licence ends with NUL, and both outlive the call.
    let result = unsafe { bpf(PROG_LOAD, &mut attributes) };
    result.and_then(own)
}

/// Attaches a program to a cgroup until the link is dropped (kernel 5.7).
pub(super) fn link(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    hook: Hook,
) -> io::Result<OwnedFd> {
    let mut attributes = LinkAttributes {
        program: program.as_raw_fd().cast_unsigned(),
        target: cgroup.as_raw_fd().cast_unsigned(),
        attach_type: hook.attach_type,
        flags: 0,
    };
    // SAFETY: there are no addresses in the attributes.
    let result = unsafe { bpf(LINK_CREATE, &mut attributes) };
    result.and_then(own)
}

/// Makes a small array that could be mapped into memory (kernel 5.5).
pub(super) fn mappable_array() -> io::Result<OwnedFd> {
    let mut attributes = MapAttributes {
        map_type: MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        flags: BPF_F_MMAPABLE,
    };
    // SAFETY: there are no addresses in the attributes.
    let result = unsafe { bpf(MAP_CREATE, &mut attributes) };
    result.and_then(own)
}

/// What is attached to one hook of one cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attached {
    /// Ids of the programs.
    pub(super) programs: Vec<u32>,
    flags: u32,
}

impl Attached {
    /// Whether other programs may stand beside these.
    pub(super) fn allows_others(&self) -> bool {
        self.programs.is_empty() || self.flags & BPF_F_ALLOW_MULTI != 0
    }

    /// Whether programs may stand on cgroups below.
    pub(super) fn allows_below(&self) -> bool {
        self.allows_others() || self.flags & BPF_F_ALLOW_OVERRIDE != 0
    }
}

/// Asks what is attached to a hook of a cgroup itself, not above it.
pub(super) fn query(cgroup: BorrowedFd<'_>, hook: Hook) -> io::Result<Attached> {
    let mut programs = vec![0_u32; MAX_ATTACHED];
    let mut attributes = QueryAttributes {
        target: cgroup.as_raw_fd().cast_unsigned(),
        attach_type: hook.attach_type,
        query_flags: 0,
        attach_flags: 0,
        programs: programs.as_mut_ptr() as u64,
        program_count: u32::try_from(MAX_ATTACHED).unwrap_or_default(),
        reserved: 0,
    };
    // SAFETY: there is room for as many programs as the count says, and it outlives the call.
    unsafe { bpf(PROG_QUERY, &mut attributes) }?;
    programs.truncate(attributes.program_count as usize);
    Ok(Attached {
        programs,
        flags: attributes.attach_flags,
    })
}

fn own(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: only called with the answer of a command that makes a descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
