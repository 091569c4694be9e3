//! Netlink: asking the kernel for a dump, and taking its answers apart without trusting them.

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `NLM_F_REQUEST | NLM_F_DUMP` of `linux/netlink.h`.
const REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Both headers and payloads begin at multiples of this.
const ALIGN: usize = 4;

/// Types of attributes carry two flag bits on top.
const ATTRIBUTE_TYPE: u16 = 0x3fff;
pub(super) const NESTED: u16 = 0x8000;

/// The kernel sends at most 32 KiB at once.
const BUFFER: usize = 64 * 1024;

/// How long a dump may take altogether; a kernel that stops answering must not stop the agent.
const DUMP_TIMEOUT: Duration = Duration::from_secs(5);

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct MessageHeader {
    length: u32,
    message_type: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// `struct nlattr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct AttributeHeader {
    length: u16,
    attribute_type: u16,
}

/// Asks for a dump in the calling thread's network namespace and hands every answer's payload to `visit`.
/// No protocol means protocol 0, rtnetlink.
///
/// # Errors
///
/// The kernel refuses the dump, does not finish it in time, or sends what is no netlink message.
pub(super) fn dump(
    protocol: Option<Protocol>,
    message_type: u16,
    payload: &[u8],
    mut visit: impl FnMut(&[u8]),
) -> io::Result<()> {
    let socket = open(protocol)?;
    let request = message(message_type, payload);
    send(&socket, &request, SendFlags::empty())?;
    let deadline = Instant::now() + DUMP_TIMEOUT;
    let mut buffer = vec![0; BUFFER];
    while Instant::now() < deadline {
        let (_, length) = recv(&socket, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
        let answer = buffer.get(..length).ok_or_else(|| {
            io::Error::new(
                ErrorKind::InvalidData,
                "a netlink answer of more than 64 KiB",
            )
        })?;
        if !take_answer(answer, &mut visit)? {
            return Ok(());
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn open(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(DUMP_TIMEOUT))?;
    Ok(socket)
}

fn message(message_type: u16, payload: &[u8]) -> Vec<u8> {
    let length = size_of::<MessageHeader>() + payload.len();
    let header = MessageHeader {
        length: u32::try_from(length).unwrap_or(u32::MAX),
        message_type,
        flags: REQUEST_DUMP,
        sequence: 1,
        port: 0,
    };
    [header.as_bytes(), payload].concat()
}

/// An attribute with its header, ready to be part of a request.
pub(super) fn attribute(attribute_type: u16, payload: &[u8]) -> Vec<u8> {
    let length = size_of::<AttributeHeader>() + payload.len();
    let header = AttributeHeader {
        length: u16::try_from(length).unwrap_or(u16::MAX),
        attribute_type,
    };
    let mut bytes = [header.as_bytes(), payload].concat();
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    bytes
}

/// Takes one datagram apart; tells whether more will come.
fn take_answer(mut bytes: &[u8], visit: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    while !bytes.is_empty() {
        let malformed = || io::Error::new(ErrorKind::InvalidData, "a malformed netlink message");
        let (header, _) = MessageHeader::read_from_prefix(bytes).map_err(|_| malformed())?;
        let length = usize::try_from(header.length).map_err(|_| malformed())?;
        let payload = bytes
            .get(size_of::<MessageHeader>()..length)
            .ok_or_else(malformed)?;
        match header.message_type {
            // Both begin with an error number, negative, or zero.
            NLMSG_DONE | NLMSG_ERROR => {
                let number = i32::read_from_prefix(payload).map_or(0, |(number, _)| number);
                if number != 0 {
                    return Err(io::Error::from_raw_os_error(number.saturating_neg()));
                }
                return Ok(false);
            }
            _ => visit(payload),
        }
        bytes = bytes
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
    }
    Ok(true)
}

/// Attributes one after the other; ends at the first that is malformed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes that fill `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The payload of the first attribute of a type.
    pub(super) fn find(mut self, wanted: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(found, _)| *found == wanted).map(|(_, payload)| payload)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, _) = AttributeHeader::read_from_prefix(self.0).ok()?;
        let length = usize::from(header.length);
        let payload = self.0.get(size_of::<AttributeHeader>()..length)?;
        self.0 = self
            .0
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
        Some((header.attribute_type & ATTRIBUTE_TYPE, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, NESTED, attribute, message, take_answer};
    use proptest::prelude::*;

    #[test]
    fn attributes_come_back_as_they_were_put_in() {
        let bytes = [
            attribute(1, b"abc"),
            attribute(2 | NESTED, &attribute(7, b"wxyz")),
        ]
        .concat();

        assert_eq!(Attributes::new(&bytes).find(1), Some(b"abc".as_slice()));
        let inner = Attributes::new(&bytes).find(2).unwrap();
        assert_eq!(Attributes::new(inner).find(7), Some(b"wxyz".as_slice()));
        assert_eq!(Attributes::new(&bytes).find(7), None);
    }

    #[test]
    fn a_dump_ends_with_done_and_fails_with_an_error_number() {
        let mut seen = Vec::new();
        let mut visit = |payload: &[u8]| seen.push(payload.to_vec());
        let answers = [message(20, b"one."), message(3, &0_i32.to_ne_bytes())].concat();

        assert!(take_answer(&message(20, b"zero"), &mut visit).unwrap());
        assert!(!take_answer(&answers, &mut visit).unwrap());
        let error =
            take_answer(&message(2, &(-libc::EPERM).to_ne_bytes()), &mut visit).unwrap_err();

        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert_eq!(seen, [b"zero", b"one."]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut count = 0;
            let _result = take_answer(&bytes, &mut |_| count += 1);
            prop_assert!(count <= bytes.len());
            prop_assert!(Attributes::new(&bytes).count() <= bytes.len());
        }
    }
}
