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

/// Lets go of the pages of the program's own code and constants, most of which nothing but the start has needed; what is needed
/// again comes back from the page cache. Returns how many bytes these pages may have been.
pub fn release_code() -> usize {
    let mut released = 0_usize;
    // SAFETY: the callback gets the pointer that is passed here, which is to a `usize` that outlives the call.
    unsafe {
        libc::dl_iterate_phdr(
            Some(release_segments),
            std::ptr::from_mut(&mut released).cast(),
        )
    };
    released
}

/// Releases what is read-only of the first object, which is the program itself (dl_iterate_phdr(3)).
unsafe extern "C" fn release_segments(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    released: *mut libc::c_void,
) -> libc::c_int {
    const LAST: libc::c_int = 1;
    // SAFETY: the loader hands over a description that is whole for the time of this call.
    let info = unsafe { &*info };
    // SAFETY: the description says how many headers there are.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let page = rustix::param::page_size();
    for header in headers {
        // What may be written has been, by the loader: its pages are not those of the file.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let (Ok(start), Ok(length)) = (
            usize::try_from(info.dlpi_addr + header.p_vaddr),
            usize::try_from(header.p_memsz),
        ) else {
            continue;
        };
        let first = start.next_multiple_of(page);
        let whole = (start + length).saturating_sub(first) / page * page;
        let first = std::ptr::with_exposed_provenance_mut(first);
        // SAFETY: these pages are mapped read-only from the program's file: whoever reads them finds the same bytes again.
        let result = unsafe { libc::madvise(first, whole, libc::MADV_DONTNEED) };
        if result == 0 {
            // SAFETY: this is the counter of `release_code`, which nobody else uses meanwhile.
            unsafe { *released.cast::<usize>() += whole };
        }
    }
    LAST
}

#[cfg(test)]
mod tests {
    use super::release_code;

    #[test]
    fn released_code_runs_on() {
        let released = release_code();
        // This test alone is more than a page.
        assert!(released > rustix::param::page_size(), "{released}");
        assert_eq!(release_code(), released);
    }
}
