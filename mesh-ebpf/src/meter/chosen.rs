//! Which RPCs are observed one by one, and how they are handed over.

use crate::maps::metering as maps;
use mesh_common::meter::count::Skip;
use mesh_common::meter::record::{Meter, Observation, Stream, StreamKey, reason};
use mesh_common::meter::{HUFFMAN_BIT, StatusCode, bound};
use mesh_common::wire::copy_words;

/// Why the RPC is to be observed.
#[inline(always)]
pub(super) fn reasons(stream: &Stream, status: u32, duration_ns: u64) -> u32 {
    let Some(sampling) = maps::sampling() else {
        return 0;
    };
    let mut reasons = 0;
    if sampling.tap != 0 {
        reasons |= reason::TAP;
    }
    if sampling.slow_ns != 0 && duration_ns >= sampling.slow_ns {
        reasons |= reason::SLOW;
    }
    if sampling.failed != 0 && status != StatusCode::Ok as u32 {
        reasons |= reason::FAILED;
    }
    if stream.trace_parent_length != 0 && sampling.parent != 0 {
        if is_parent_sampled(stream) {
            reasons |= reason::PARENT;
        }
    } else if sampling.ratio != 0 {
        // SAFETY: has no preconditions.
        let random = unsafe { aya_ebpf::helpers::bpf_get_prandom_u32() };
        if random < sampling.ratio {
            reasons |= reason::SAMPLED;
        }
    }
    reasons
}

/// Whether the last hexadecimal digit of a `traceparent` is odd: the flag `sampled` (W3C Trace Context section 3.2.2.5).
#[inline(always)]
fn is_parent_sampled(stream: &Stream) -> bool {
    if stream.trace_parent_length & HUFFMAN_BIT == 0 {
        // The 55th character; a digit or lower-case letter is odd where its code is, but for 'b', 'd', 'f'.
        let last = (stream.trace_parent[6] >> 48) & 0xff;
        return stream.trace_parent_length == 55 && ((last & 1) ^ u64::from(last >= 0x61)) == 1;
    }
    // "-00", the usual end of one that is not, is 010110 00000 00000 and ones up to the byte's end (RFC 7541 appendix B).
    // The agent decodes the others.
    let end = last_bits(stream);
    (end >> (!end).trailing_zeros()) & 0xffff != 0b0101_1000_0000_0000
}

/// The last 24 bits, or more, of the encoded `traceparent`.
#[inline(always)]
fn last_bits(stream: &Stream) -> u64 {
    let last = bound::<63>((stream.trace_parent_length & !HUFFMAN_BIT).wrapping_sub(1));
    let words = (&raw const stream.trace_parent).cast::<u64>();
    // The record goes on behind the words.
    let at = (last >> 3) as usize;
    // SAFETY: a word of the record.
    let word = unsafe { words.wrapping_add(at).read() };
    // SAFETY: a word of the record: `path` and others stand in front of the words.
    let before = unsafe { words.wrapping_sub(1).wrapping_add(at).read() };
    let behind = 8 * (7 - (last & 7));
    let bits = word.swap_bytes() >> behind;
    if behind == 0 {
        bits
    } else {
        bits | (before.swap_bytes() << (64 - behind))
    }
}

#[inline(always)]
pub(super) fn observe(
    meter: &Meter,
    key: &StreamKey,
    method: u64,
    status: u32,
    side: u32,
    reasons: u32,
) {
    let is_handed_over = maps::observe(|observation: &mut Observation| {
        copy_words(&mut observation.stream, &meter.request);
        observation.connection = key.connection;
        observation.ended_ns = meter.run.now_ns;
        observation.method = method;
        observation.stream_id = key.stream;
        observation.status = status;
        observation.reasons = reasons;
        observation.side = side;
    });
    if !is_handed_over {
        maps::skipped(Skip::ObservedFull);
    }
}
