//! Kernel objects of BPF: which ones an agent made, whether they still exist, and a program that stands in its way.

use crate::cgroup::Cgroup;
use crate::error::{Context, Result};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Ids of kernel objects, as `map_id`, `prog_id` and `link_id` in fdinfo name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Links.
    pub links: BTreeSet<u32>,
}

impl Objects {
    /// Everything a process holds open.
    ///
    /// # Errors
    /// If the process has gone.
    pub fn of_process(id: u32) -> Result<Self> {
        let mut objects = Self::default();
        let directory = format!("/proc/{id}/fdinfo");
        for entry in fs::read_dir(&directory)
            .context(|| format!("list {directory}"))?
            .flatten()
        {
            // A descriptor that has been closed meanwhile names nothing.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                objects.add(&text);
            }
        }
        Ok(objects)
    }

    /// Everything pinned below a directory.
    ///
    /// # Errors
    /// If a pin cannot be opened.
    pub fn pinned(directory: &Path) -> Result<Self> {
        let mut objects = Self::default();
        objects.add_pins(directory)?;
        Ok(objects)
    }

    fn add_pins(&mut self, directory: &Path) -> Result {
        let listing = || format!("list {}", directory.display());
        for entry in fs::read_dir(directory).context(listing)? {
            let path = entry.context(listing)?.path();
            if path.is_dir() {
                self.add_pins(&path)?;
                continue;
            }
            let object = open_pin(&path).context(|| format!("open pin {}", path.display()))?;
            let info = format!("/proc/self/fdinfo/{}", object.as_raw_fd());
            self.add(&fs::read_to_string(&info).context(|| format!("read {info}"))?);
        }
        Ok(())
    }

    /// Adds what one fdinfo names. A link's names its program as well.
    fn add(&mut self, fdinfo: &str) {
        for line in fdinfo.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let Ok(id) = value.trim().parse() else {
                continue;
            };
            match key {
                "prog_id" => self.programs.insert(id),
                "map_id" => self.maps.insert(id),
                "link_id" => self.links.insert(id),
                _ => false,
            };
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.programs.extend(other.programs);
        self.maps.extend(other.maps);
        self.links.extend(other.links);
        self
    }

    /// Those of them that the kernel still has.
    ///
    /// # Errors
    /// If the kernel does not list its objects.
    pub fn alive(&self) -> Result<Self> {
        let living = |kind, ids: &BTreeSet<u32>| -> Result<BTreeSet<u32>> {
            Ok(list(kind)?.intersection(ids).copied().collect())
        };
        Ok(Self {
            programs: living(PROG_GET_NEXT_ID, &self.programs)?,
            maps: living(MAP_GET_NEXT_ID, &self.maps)?,
            links: living(LINK_GET_NEXT_ID, &self.links)?,
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Puts as many entries into a pinned hash as it takes, with keys that the mesh never has; gives how many.
///
/// # Errors
/// If it is not pinned.
pub fn stuff(bpffs: &Path, map: &str, key_bytes: usize, value_bytes: usize) -> Result<usize> {
    let path = version_in_force(bpffs)?.join("maps").join(map);
    let map = open_pin(&path).context(|| format!("open pin {}", path.display()))?;
    let value = vec![0_u8; value_bytes];
    for count in 0_usize.. {
        let mut key = vec![0xff_u8; key_bytes];
        key[..size_of::<usize>()].copy_from_slice(&count.to_ne_bytes());
        let mut attribute = ElementAttribute {
            map: u32::try_from(map.as_raw_fd()).expect("open"),
            reserved: 0,
            key: key.as_ptr() as u64,
            value: value.as_ptr() as u64,
            flags: 0,
        };
        match bpf(MAP_UPDATE_ELEM, &mut attribute) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => return Ok(count),
            Err(error) => return Err(error).context(|| format!("fill {}", path.display())),
        }
    }
    Ok(usize::MAX)
}

/// The directory of the pins in force (`v` and a number); those that are still made have another name.
pub(crate) fn version_in_force(bpffs: &Path) -> Result<PathBuf> {
    let reading = || format!("read {}", bpffs.display());
    for entry in fs::read_dir(bpffs).context(reading)? {
        let entry = entry.context(reading)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix('v'));
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            return Ok(entry.path());
        }
    }
    let none = io::Error::from(io::ErrorKind::NotFound);
    Err(none).context(|| format!("find pins in {}", bpffs.display()))
}

/// A program of somebody else, attached the old way and without a flag, which forbids others at this cgroup and below.
#[derive(Debug)]
pub struct FlaglessProgram {
    program: OwnedFd,
    cgroup: OwnedFd,
}

impl FlaglessProgram {
    /// Attaches a `connect4` program that allows everything.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn attach(cgroup: &Cgroup) -> Result<Self> {
        let program = load_allow_all().context(|| "load a connect4 program")?;
        let cgroup: OwnedFd = fs::File::open(cgroup.path())
            .context(|| format!("open {}", cgroup.path().display()))?
            .into();
        let made = Self { program, cgroup };
        made.call(PROG_ATTACH)
            .context(|| "attach a program without flags")?;
        Ok(made)
    }

    fn call(&self, command: libc::c_long) -> io::Result<()> {
        let mut attribute = AttachAttribute {
            target: self.cgroup.as_raw_fd(),
            program: self.program.as_raw_fd(),
            attach_type: CGROUP_INET4_CONNECT,
            flags: 0,
        };
        bpf(command, &mut attribute).map(drop)
    }
}

impl Drop for FlaglessProgram {
    fn drop(&mut self) {
        // Fails only if the cgroup has gone, and the attachment with it.
        drop(self.call(PROG_DETACH));
    }
}

// Numbers of `enum bpf_cmd`, `bpf_prog_type` and `bpf_attach_type` in linux/bpf.h.
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const OBJ_GET: libc::c_long = 7;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_GET_NEXT_ID: libc::c_long = 11;
const MAP_GET_NEXT_ID: libc::c_long = 12;
const LINK_GET_NEXT_ID: libc::c_long = 31;
const CGROUP_SOCK_ADDR: u32 = 18;
const CGROUP_INET4_CONNECT: u32 = 10;

#[repr(C)]
struct AttachAttribute {
    target: RawFd,
    program: RawFd,
    attach_type: u32,
    flags: u32,
}

/// The members for one entry of a map.
#[repr(C)]
struct ElementAttribute {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for `BPF_PROG_LOAD` up to `expected_attach_type`.
#[repr(C)]
struct LoadAttribute {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct PinAttribute {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
struct NextAttribute {
    start: u32,
    next: u32,
    flags: u32,
}

fn load_allow_all() -> io::Result<OwnedFd> {
    // r0 = 1; exit
    let instructions: [u64; 2] = [0x0000_0001_0000_00b7, 0x95];
    let mut attribute = LoadAttribute {
        program_type: CGROUP_SOCK_ADDR,
        instruction_count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"somebody_else\0\0\0",
        device: 0,
        expected_attach_type: CGROUP_INET4_CONNECT,
    };
    open(PROG_LOAD, &mut attribute)
}

pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attribute = PinAttribute {
        path: path.as_ptr() as u64,
        descriptor: 0,
        flags: 0,
    };
    open(OBJ_GET, &mut attribute)
}

/// Every id of a kind.
fn list(command: libc::c_long) -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    let mut attribute = NextAttribute {
        start: 0,
        next: 0,
        flags: 0,
    };
    loop {
        match bpf(command, &mut attribute) {
            Ok(_) => ids.insert(attribute.next),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(ids),
            Err(error) => return Err(error).context(|| "list the kernel's BPF objects"),
        };
        attribute.start = attribute.next;
    }
}

fn open<A>(command: libc::c_long, attribute: &mut A) -> io::Result<OwnedFd> {
    let descriptor = bpf(command, attribute)?;
    // SAFETY: the kernel has just given out the descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

pub(crate) fn bpf<A>(command: libc::c_long, attribute: &mut A) -> io::Result<RawFd> {
    // SAFETY: every caller passes the `repr(C)` prefix of `union bpf_attr` that its command reads, with its size, and
    // keeps what it points to alive during the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attribute),
            size_of::<A>(),
        )
    };
    match RawFd::try_from(answer) {
        Ok(descriptor) if descriptor >= 0 => Ok(descriptor),
        _ => Err(io::Error::last_os_error()),
    }
}
