//! System calls that neither std nor rustix offers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `SO_NETNS_COOKIE` of `asm-generic/socket.h` (kernel 5.14), not in libc's constants.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// `FILEID_KERNFS` of `linux/exportfs.h`: the handle of a cgroup is its id (kernel 5.5).
const FILEID_KERNFS: libc::c_int = 0xfe;

/// Bytes from which a block of the heap is mapped by itself, and free memory at the heap's end given back.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK: libc::c_int = 128 * 1024;

/// `struct file_handle` with a cgroup id in it.
#[repr(C)]
struct CgroupHandle {
    bytes: libc::c_uint,
    handle_type: libc::c_int,
    id: u64,
}

/// The cookie of the network namespace that a socket is in.
pub(super) fn netns_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length: libc::socklen_t = 8;
    // SAFETY: the buffer is the 8 bytes that `length` says, and outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            std::ptr::from_mut(&mut cookie).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// Opens the directory of a cgroup by its id; `mount` is any directory of the same file system.
pub(super) fn open_cgroup_by_id(mount: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut handle = CgroupHandle {
        bytes: 8,
        handle_type: FILEID_KERNFS,
        id,
    };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the handle is laid out as `struct file_handle` with the 8 bytes it says, and outlives the call.
    let fd = unsafe {
        libc::open_by_handle_at(
            mount.as_raw_fd(),
            std::ptr::from_mut(&mut handle).cast(),
            flags,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Keeps the heap small: one arena for all threads, which seldom allocate at once, and large blocks mapped by
/// themselves, so that freeing them gives them back. To be called before threads start.
pub fn bound_heap() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_ARENA_MAX, 1),
        // Setting these ends glibc's own raising of them after large blocks.
        (libc::M_MMAP_THRESHOLD, LARGE_BLOCK),
        (libc::M_TRIM_THRESHOLD, LARGE_BLOCK),
    ] {
        // SAFETY: takes no pointer, and the caller has not started a thread yet.
        let is_set = unsafe { libc::mallopt(parameter, value) };
        debug_assert_eq!(is_set, 1);
    }
}

/// Hands free memory of the heap back to the system.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; glibc locks its own arenas.
    unsafe {
        libc::malloc_trim(0);
    }
}
