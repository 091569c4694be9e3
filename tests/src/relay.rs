//! A bad link between two pods: a relay between two TUN devices that loses, doubles and reorders packets by a seed, or
//! delivers a connection's first bytes late.

use crate::error::{Context, Result};
use crate::network::Pod;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::time::Timespec;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Address of the first pod's end.
pub const FIRST: [u8; 4] = [10, 250, 0, 1];

/// Address of the second pod's end.
pub const SECOND: [u8; 4] = [10, 250, 0, 2];

/// Of a thousand packets so many are lost, sent twice, or held back.
const LOST: u32 = 10;
const DOUBLED: u32 = 5;
const HELD: u32 = 20;

/// Packets of a direction that pass one that is held back.
const PASSING: u32 = 3;

/// How long a packet is held back at most, if none follows.
const HOLD_LIMIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// Larger than any packet of the devices.
const PACKET_MAX: usize = 2_048;

/// What a link is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Loses, doubles and reorders packets by this seed.
    Bad(u64),
    /// Delivers the preface of HTTP/2 behind the next packet with payload; everything else as it comes.
    LatePreface,
}

/// What the link did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Packets that came.
    pub packets: u32,
    /// Of these never delivered.
    pub lost: u32,
    /// Of these delivered twice.
    pub doubled: u32,
    /// Of these delivered after a later one.
    pub reordered: u32,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Damage>>>,
}

impl Relay {
    /// Links two pods at [`FIRST`] and [`SECOND`].
    ///
    /// # Errors
    /// If there is no `/dev/net/tun`.
    pub fn start(first: &Pod, second: &Pod, link: Link) -> Result<Self> {
        let ends = [
            device(first, FIRST, SECOND)?,
            device(second, SECOND, FIRST)?,
        ];
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || relay(&ends, link, &told));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Cuts the link; says what it did.
    ///
    /// # Errors
    /// If a device failed meanwhile.
    ///
    /// # Panics
    /// If the relay did.
    pub fn stop(mut self) -> Result<Damage> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("taken only here and at the end");
        let damage = thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        damage.context(|| "relay packets")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The test has failed already if it did not ask what the relay has to say.
            drop(thread.join());
        }
    }
}

/// A packet that is held back, and how many may still pass it.
type Held = Option<(Vec<u8>, u32)>;

fn relay(ends: &[OwnedFd; 2], link: Link, stop: &AtomicBool) -> io::Result<Damage> {
    let mut random = match link {
        Link::Bad(seed) => Some(fastrand::Rng::with_seed(seed)),
        Link::LatePreface => None,
    };
    let mut damage = Damage::default();
    let mut held: [Held; 2] = [None, None];
    let mut packet = vec![0; PACKET_MAX];
    while !stop.load(Ordering::Relaxed) {
        let mut ready = ends.each_ref().map(|end| PollFd::new(end, PollFlags::IN));
        let is_quiet = poll(&mut ready, Some(&HOLD_LIMIT))? == 0;
        let readable = ready.map(|end| end.revents().contains(PollFlags::IN));
        for from in 0..2 {
            let to = &ends[1 - from];
            if readable[from] {
                let length = rustix::io::read(&ends[from], packet.as_mut_slice())?;
                let (packet, held) = (&packet[..length], &mut held[from]);
                match &mut random {
                    Some(random) => pass(packet, to, held, random, &mut damage),
                    None => pass_all_but_preface(packet, to, held, &mut damage),
                }
            }
            if is_quiet
                && random.is_some()
                && let Some((late, _)) = held[from].take()
            {
                deliver(to, &late);
            }
        }
    }
    Ok(damage)
}

/// Decides what becomes of a packet.
fn pass(
    packet: &[u8],
    to: &OwnedFd,
    held: &mut Held,
    random: &mut fastrand::Rng,
    damage: &mut Damage,
) {
    damage.packets += 1;
    let chance = random.u32(..1_000);
    if chance < LOST {
        damage.lost += 1;
        return;
    }
    if chance < LOST + HELD && held.is_none() {
        *held = Some((packet.to_vec(), PASSING));
        return;
    }
    deliver(to, packet);
    if chance >= 1_000 - DOUBLED {
        damage.doubled += 1;
        deliver(to, packet);
    }
    if let Some((late, passing)) = held {
        *passing -= 1;
        if *passing == 0 {
            damage.reordered += 1;
            deliver(to, late);
            *held = None;
        }
    }
}

/// Holds a preface back until more of its connection's bytes have passed: there is one connection at a time.
fn pass_all_but_preface(packet: &[u8], to: &OwnedFd, held: &mut Held, damage: &mut Damage) {
    damage.packets += 1;
    let payload = payload(packet);
    if held.is_none() && payload.starts_with(b"PRI * HTTP/2.0") {
        *held = Some((packet.to_vec(), 1));
        return;
    }
    deliver(to, packet);
    if !payload.is_empty()
        && let Some((late, _)) = held.take()
    {
        damage.reordered += 1;
        deliver(to, &late);
    }
}

/// What a packet of IPv4 and TCP carries; nothing of any other.
fn payload(packet: &[u8]) -> &[u8] {
    const TCP: u8 = 6;
    let words = |at: usize, mask: u8, shift: u8| {
        let byte = packet.get(at).copied().unwrap_or(0);
        usize::from((byte >> shift) & mask) * 4
    };
    let ip = words(0, 0xf, 0);
    if packet.get(9) != Some(&TCP) || ip < 20 {
        return &[];
    }
    packet.get(ip + words(ip + 12, 0xf, 4)..).unwrap_or(&[])
}

/// A full or closed device loses packets, as a link does.
fn deliver(to: &OwnedFd, packet: &[u8]) {
    let _sent_or_lost = rustix::io::write(to, packet);
}

/// Makes a TUN device in a pod.
fn device(pod: &Pod, own: [u8; 4], peer: [u8; 4]) -> Result<OwnedFd> {
    let device = pod
        .namespace()
        .enter(make)?
        .context(|| "make a TUN device")?;
    let [own, peer] = [own, peer].map(std::net::Ipv4Addr::from);
    pod.namespace().ip(&format!(
        "link set tun0 mtu 1400 up\naddr add {own} peer {peer} dev tun0\n"
    ))?;
    Ok(device)
}

/// `struct ifreq` as `TUNSETIFF` reads it: a name, flags, and the rest of the union.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

fn make() -> io::Result<OwnedFd> {
    /// `IFF_TUN | IFF_NO_PI`: packets without a header of the device's.
    const FLAGS: u16 = 0x1001;
    let device = open(
        "/dev/net/tun",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"tun0");
    let request = Request {
        name,
        flags: FLAGS,
        rest: [0; 22],
    };
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which lives for the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(device)
}
