//! Network namespaces: which there are, and how to do something inside one.
//!
//! A thread enters namespaces one after the other and then ends: there is no way back that could fail,
//! and no handle that would keep a namespace alive longer than one pass.

use super::KernelError;
use super::netlink::{Attributes, dump};
use super::sys::netns_cookie;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Namespaces looked at in one pass; more are left to chance.
const MAX_NAMESPACES: usize = 4_096;

/// Where `ip netns` and container runtimes keep named namespaces.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/docker/netns"];

/// This process's own namespace.
const SELF: &str = "/proc/self/ns/net";

/// Constants of `linux/rtnetlink.h` and `linux/if_addr.h`.
const RTM_GETADDR: u16 = 22;
const AF_UNSPEC: u8 = 0;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// `struct ifaddrmsg`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct AddressMessage {
    family: u8,
    prefix_length: u8,
    flags: u8,
    scope: u8,
    interface: u32,
}

/// A namespace's inode number: its identity while it exists.
pub(super) type NamespaceId = u64;

/// Finds namespaces that processes live in and those with a name, each once, with a path that leads there.
pub(super) fn discover() -> BTreeMap<NamespaceId, PathBuf> {
    let mut found = BTreeMap::new();
    let named = NAMED
        .iter()
        .flat_map(|directory| entries(Path::new(directory)));
    let processes = entries(Path::new("/proc"))
        .filter(|path| is_process(path))
        .map(|path| path.join("ns/net"));
    for path in processes.chain(named) {
        if found.len() >= MAX_NAMESPACES {
            break;
        }
        // A process may end at any moment; its namespace then shows elsewhere or is gone.
        if let Ok(facts) = fs::metadata(&path) {
            found.entry(facts.ino()).or_insert(path);
        }
    }
    found
}

/// Finds the namespaces of the processes in a cgroup and below it, each once, with a path that leads there.
pub(super) fn of_cgroup(cgroup: &Path) -> BTreeMap<NamespaceId, PathBuf> {
    let mut found = BTreeMap::new();
    let mut groups = vec![cgroup.to_owned()];
    while let Some(group) = groups.pop() {
        // A group may go at any moment, and its processes.
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines() {
            let path = PathBuf::from(format!("/proc/{process}/ns/net"));
            if let Ok(facts) = fs::metadata(&path) {
                found.entry(facts.ino()).or_insert(path);
            }
            if found.len() >= MAX_NAMESPACES {
                return found;
            }
        }
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        groups.extend(below.map(|entry| entry.path()));
    }
    found
}

/// Calls `work` inside a namespace, on a thread of its own.
///
/// # Errors
///
/// The thread could not be started, or not enter.
pub(super) fn inside<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, KernelError> {
    let result = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("mesh-namespaces".to_owned())
            .spawn_scoped(scope, || {
                move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
                Ok(work())
            })?;
        let panicked = |_| io::Error::other("the thread panicked");
        thread.join().map_err(panicked)?
    });
    result.map_err(KernelError::system::<io::Error>(
        "work in a network namespace",
    ))
}

/// Calls `visit` inside each namespace, on a thread of its own. A namespace that has vanished is left out.
///
/// # Errors
///
/// The thread could not be started.
pub(super) fn visit<T: Send>(
    namespaces: &BTreeMap<NamespaceId, PathBuf>,
    mut visit: impl FnMut(NamespaceId) -> Option<T> + Send,
) -> Result<Vec<(NamespaceId, T)>, KernelError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("mesh-namespaces".to_owned())
            .spawn_scoped(scope, || {
                namespaces
                    .iter()
                    .filter_map(|(id, path)| {
                        enter(*id, path).ok()?;
                        Some((*id, visit(*id)?))
                    })
                    .collect()
            })
            .map_err(KernelError::system("start a thread for network namespaces"))?;
        thread.join().map_err(|_| KernelError::System {
            action: "look into network namespaces",
            cause: io::Error::other("the thread panicked"),
        })
    })
}

/// The cookie of the host's network namespace: that of process 1, or else this process's own.
///
/// # Errors
///
/// The kernel tells no cookie (before 5.14).
pub(super) fn host_cookie() -> Result<u64, KernelError> {
    let namespace = host().ok_or(KernelError::Io {
        action: "look at",
        path: PathBuf::from(SELF),
        cause: io::ErrorKind::NotFound.into(),
    })?;
    let mut cookies = visit(&BTreeMap::from([namespace]), |_| Some(cookie()))?;
    let Some((_, cookie)) = cookies.pop() else {
        return Err(KernelError::System {
            action: "enter the host's network namespace",
            cause: io::ErrorKind::PermissionDenied.into(),
        });
    };
    cookie.map_err(KernelError::system(
        "read the cookie of a network namespace (kernel 5.14)",
    ))
}

/// The host's network namespace.
pub(super) fn host() -> Option<(NamespaceId, PathBuf)> {
    ["/proc/1/ns/net", SELF].into_iter().find_map(|path| {
        let facts = fs::metadata(path).ok()?;
        File::open(path).ok()?;
        Some((facts.ino(), PathBuf::from(path)))
    })
}

/// The cookie of the namespace that the calling thread is in.
pub(super) fn cookie() -> io::Result<u64> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    netns_cookie(socket.as_fd())
}

/// The addresses of the namespace that the calling thread is in.
pub(super) fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut request = AddressMessage::new_zeroed();
    request.family = AF_UNSPEC;
    let payload = request.as_bytes();
    dump(None, RTM_GETADDR, payload, |answer| {
        addresses.extend(parse_address(answer));
    })?;
    Ok(addresses)
}

/// The one of a namespace's addresses that stands for it: the first by number of those that others may see, IPv4 before IPv6.
pub(super) fn main_address(addresses: &[IpAddr]) -> Option<IpAddr> {
    let is_seen = |address: &&IpAddr| match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    };
    addresses.iter().filter(is_seen).min().copied()
}

fn parse_address(answer: &[u8]) -> Option<IpAddr> {
    let (_, attributes) = AddressMessage::read_from_prefix(answer).ok()?;
    let attributes = Attributes::new(attributes);
    // On point-to-point links IFA_ADDRESS is the other end's.
    let octets = attributes
        .find(IFA_LOCAL)
        .or_else(|| attributes.find(IFA_ADDRESS))?;
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// Moves the calling thread into a namespace, if `path` still leads to that one.
fn enter(id: NamespaceId, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    if file.metadata()?.ino() != id {
        return Err(io::ErrorKind::NotFound.into());
    }
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn is_process(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{cookie, discover, host, local_addresses, main_address, visit};
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn this_process_s_namespace_is_found_once() {
        let own =
            std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").unwrap());

        assert!(discover().contains_key(&own));
    }

    #[test]
    fn the_loopback_address_is_among_the_local_ones() {
        let addresses = local_addresses().unwrap();

        assert!(
            addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
            "{addresses:?}"
        );
    }

    #[test]
    fn the_first_ipv4_address_that_others_see_stands_for_a_namespace() {
        let cases: [(&[&str], Option<&str>); 4] = [
            (
                &["127.0.0.1", "fd00::2", "10.244.0.9", "10.244.0.10", "::1"],
                Some("10.244.0.9"),
            ),
            (&["::1", "fe80::1", "fd00::2"], Some("fd00::2")),
            (&["169.254.1.1", "127.0.0.1"], None),
            (&[], None),
        ];
        for (addresses, expected) in cases {
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(main_address(&addresses), expected, "{addresses:?}");
        }
    }

    #[test]
    fn a_namespace_that_has_vanished_is_left_out() {
        let gone = [
            (1, "/proc/self/ns/none".into()),
            (2, "/proc/self/ns/net".into()),
        ];

        let visited = visit(&gone.into(), |_| Some(())).unwrap();

        assert!(visited.is_empty());
    }

    #[test]
    fn the_host_s_namespace_can_be_named() {
        assert!(host().is_some());
        // Kernels before 5.14 tell no cookie; this one does or says so.
        if let Ok(cookie) = cookie() {
            assert_ne!(cookie, 0);
        }
    }
}
