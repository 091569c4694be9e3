//! What becomes of RPCs.
//!
//! What one packet says of one stream is put together in `Pending` and written down once.

use super::chosen::{observe, reasons};
use crate::maps::metering as maps;
use mesh_common::meter::count::{RpcEvent, Skip};
use mesh_common::meter::record::{
    METHOD_OTHER, Meter, MethodKey, PeerPlace, RpcKey, Side, Stream, StreamKey,
};
use mesh_common::meter::{
    Content, Mode, StatusCode, UNKNOWN, http_status, reset_status, zero, zero32,
};
use mesh_common::wire::copy_words;

/// Whether what pends is to be written down before the event of the run is taken account of.
#[inline(always)]
pub(super) fn must_flush(meter: &Meter, is_reset: bool) -> bool {
    meter.pending.stream != 0
        && (meter.pending.stream != meter.run.stream || meter.pending.has_ended != 0 || is_reset)
}

/// A header block is complete.
#[inline(always)]
pub(super) fn headers(meter: &mut Meter) {
    if meter.is_response == 0 {
        request_headers(meter);
        return;
    }
    let is_readable = meter.decoder.mode != Mode::FramesOnly as u32;
    let (http_status, grpc_status, unknown) = if is_readable {
        let block = &meter.decoder.hpack.block;
        (
            block.http_status,
            block.grpc_status,
            block.unknown_references,
        )
    } else {
        (UNKNOWN, UNKNOWN, 0)
    };
    // 1xx: the response itself is still to come (RFC 9113 section 8.1).
    if meter.run.ends_stream == 0 && http_status.wrapping_sub(100) < 100 {
        return;
    }
    turn_to_stream(meter);
    let is_uncertain = unknown != 0 || !is_readable;
    if unknown != 0 {
        maps::skipped(Skip::UnknownReference);
    }
    let pending = &mut meter.pending;
    if pending.first_ns == 0 {
        pending.first_ns = meter.run.now_ns;
    }
    if http_status != UNKNOWN {
        pending.http_status = http_status;
    }
    if grpc_status != UNKNOWN {
        pending.grpc_status = grpc_status;
    }
    pending.is_uncertain |= u32::from(is_uncertain);
    pending.has_ended |= meter.run.ends_stream;
}

/// A DATA frame has begun.
#[inline(always)]
pub(super) fn data(meter: &mut Meter) {
    turn_to_stream(meter);
    meter.pending.bytes = meter.pending.bytes.wrapping_add(u64::from(meter.run.value));
    if meter.is_response != 0 {
        meter.pending.has_ended |= meter.run.ends_stream;
    }
}

/// A stream was reset.
#[inline(always)]
pub(super) fn reset(meter: &mut Meter) {
    let key = key(meter, meter.run.stream);
    let Some(open) = maps::stream(&key) else {
        // A server may reset what it has answered; a client what has been answered meanwhile.
        return;
    };
    let mut status = reset_status(meter.run.value) as u32;
    // SAFETY: a value of the map.
    let (started_ns, timeout_us, was_answered) = unsafe {
        let open = open.as_ref();
        (
            open.started_ns,
            open.timeout_us,
            open.first_ns != 0 && open.response_bytes != 0,
        )
    };
    if status == StatusCode::Cancelled as u32 && meter.is_response == 0 {
        let elapsed_ns = meter.run.now_ns.saturating_sub(started_ns);
        if timeout_us != 0 && elapsed_ns / 1_000 >= timeout_us {
            status = StatusCode::DeadlineExceeded as u32;
        }
    }
    // A stream that its client always leaves never ends with the server's word; but no server sends messages for a method that
    // it does not have.
    let _zero: u32 = meter_complete(
        meter,
        open.as_ptr(),
        key.stream,
        status,
        u32::from(was_answered),
    );
}

#[inline(always)]
fn key(meter: &Meter, stream: u32) -> StreamKey {
    StreamKey {
        connection: meter.link.connection,
        stream,
        reserved: 0,
    }
}

/// Makes the event's stream the one that pends; nothing of another does.
#[inline(always)]
fn turn_to_stream(meter: &mut Meter) {
    let stream = meter.run.stream;
    if meter.pending.stream != stream {
        begin_pending(meter, stream);
    }
}

#[inline(always)]
fn begin_pending(meter: &mut Meter, stream: u32) {
    let pending = &mut meter.pending;
    pending.bytes = zero();
    pending.first_ns = zero();
    pending.stream = stream;
    pending.has_ended = zero32();
    pending.grpc_status = UNKNOWN;
    pending.http_status = UNKNOWN;
    pending.is_uncertain = zero32();
    pending.is_new = zero32();
}

#[inline(always)]
fn request_headers(meter: &mut Meter) {
    let stream = meter.run.stream;
    if stream <= meter.last_stream {
        // A client's trailers.
        return;
    }
    meter.last_stream = stream;
    let is_readable = meter.decoder.mode != Mode::FramesOnly as u32;
    let mut path = 0;
    let mut timeout_us = 0;
    let mut trace_parent_length = 0;
    if is_readable {
        let block = &meter.decoder.hpack.block;
        if block.unknown_references != 0 {
            maps::skipped(Skip::UnknownReference);
        }
        if block.content == Content::Other as u32 {
            maps::skipped(Skip::NotGrpc);
            return;
        }
        path = block.path;
        timeout_us = block.timeout_us;
        trace_parent_length = block.trace_parent_length;
    }
    begin_pending(meter, stream);
    meter.pending.is_new = 1;
    let label = label(meter, path);
    let link = meter.link;
    let block = &meter.decoder.hpack.block;
    let request = &mut meter.request;
    request.started_ns = meter.run.now_ns;
    request.first_ns = zero();
    request.path = path;
    request.label = label;
    request.timeout_us = timeout_us;
    request.request_bytes = zero();
    request.response_bytes = zero();
    request.trace_parent_length = trace_parent_length;
    if trace_parent_length != 0 {
        request.trace_parent = block.trace_parent;
    }
    request.source = link.source;
    request.destination = link.destination;
    request.service = link.service;
    request.http_status = UNKNOWN;
    request.side = link.side;
}

/// The label of a path: itself if it is one, else none, and its text is remembered.
#[inline(always)]
fn label(meter: &mut Meter, path: u64) -> u64 {
    if path == 0 {
        return METHOD_OTHER;
    }
    let key = MethodKey {
        path,
        service: meter.link.service,
        reserved: 0,
    };
    if maps::method(&key).is_some() {
        return path;
    }
    let length = meter.decoder.hpack.block.path_length;
    if length != 0 {
        maps::remember_path(&key, &meter.decoder.hpack.path, length);
    }
    METHOD_OTHER
}

/// Writes down what pends.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn meter_flush(meter: *mut Meter) -> u32 {
    // SAFETY: the verifier knows its size.
    let Some(state) = (unsafe { meter.as_mut() }) else {
        return 0;
    };
    let stream = state.pending.stream;
    if stream == 0 {
        return 0;
    }
    state.pending.stream = 0;
    let key = key(state, stream);
    if state.is_response != 0 {
        flush_response(state, &key);
    } else {
        flush_request(state, &key);
    }
    0
}

#[inline(always)]
fn flush_request(meter: &mut Meter, key: &StreamKey) {
    let bytes = meter.pending.bytes;
    if meter.pending.is_new != 0 {
        meter.request.request_bytes = bytes;
        maps::count_rpc(RpcEvent::Started);
        if !maps::open_stream(key, &meter.request) {
            maps::count_rpc(RpcEvent::TableFull);
        }
        return;
    }
    if bytes != 0
        && let Some(mut open) = maps::stream(key)
    {
        // SAFETY: a value of the map, of which this direction alone writes the word.
        let open = unsafe { open.as_mut() };
        open.request_bytes = open.request_bytes.wrapping_add(bytes);
    }
}

#[inline(always)]
fn flush_response(meter: &mut Meter, key: &StreamKey) {
    let Some(mut open) = maps::stream(key) else {
        // Without a gRPC status it may be the answer to what is no RPC.
        if meter.pending.has_ended != 0 && meter.pending.grpc_status != UNKNOWN {
            maps::count_rpc(RpcEvent::Orphan);
        }
        return;
    };
    // SAFETY: a value of the map, of which this direction alone writes these words.
    let stream = unsafe { open.as_mut() };
    if meter.pending.bytes != 0 {
        stream.response_bytes = stream.response_bytes.wrapping_add(meter.pending.bytes);
    }
    if meter.pending.first_ns != 0 && stream.first_ns == 0 {
        stream.first_ns = meter.pending.first_ns;
    }
    if meter.pending.http_status != UNKNOWN {
        stream.http_status = meter.pending.http_status;
    }
    if meter.pending.has_ended == 0 {
        return;
    }
    let has_status = meter.pending.grpc_status != UNKNOWN;
    let status = if has_status {
        let status = meter.pending.grpc_status;
        if status <= StatusCode::Unauthenticated as u32 {
            status
        } else {
            StatusCode::Unknown as u32
        }
    } else {
        let http = stream.http_status;
        maps::skipped(Skip::StatusMissing);
        if meter.pending.is_uncertain != 0 {
            StatusCode::Unseen as u32
        } else if http != UNKNOWN && http != 200 {
            http_status(http) as u32
        } else {
            StatusCode::Unknown as u32
        }
    };
    let _zero: u32 = meter_complete(
        meter,
        open.as_ptr(),
        key.stream,
        status,
        u32::from(has_status),
    );
}

/// Whose series an RPC of this connection goes into.
#[inline(always)]
fn side(meter: &Meter) -> u32 {
    if meter.link.is_client == 0 {
        return meter.link.side;
    }
    let is_both = match meter.link.peer {
        peer if peer == PeerPlace::Local as u32 => true,
        peer if peer == PeerPlace::Remote as u32 => false,
        _ => maps::is_adopted(meter.link.connection) == Some(true),
    };
    if is_both {
        Side::Both as u32
    } else {
        Side::Client as u32
    }
}

/// An RPC has ended: whoever takes it away counts it.
///
/// `is_answer`: whether the server has shown that it has the method (1), which is what makes it a label.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn meter_complete(
    meter: *mut Meter,
    open: *mut Stream,
    stream: u32,
    status: u32,
    is_answer: u32,
) -> u32 {
    // SAFETY: the verifier knows its size.
    let Some(meter) = (unsafe { meter.as_mut() }) else {
        return 0;
    };
    // SAFETY: the verifier knows its size. If another CPU takes the RPC away meanwhile, what is read of it is not used.
    let Some(open) = (unsafe { open.as_ref() }) else {
        return 0;
    };
    complete(meter, open, stream, status, is_answer != 0);
    0
}

#[inline(always)]
fn complete(meter: &mut Meter, stream: &Stream, stream_id: u32, status: u32, is_answer: bool) {
    let key = &key(meter, stream_id);
    let now_ns = meter.run.now_ns;
    let (started_ns, first_ns) = (stream.started_ns, stream.first_ns);
    let (request_bytes, response_bytes) = (stream.request_bytes, stream.response_bytes);
    let (path, label, service) = (stream.path, stream.label, stream.service);
    let (source, destination) = (stream.source, stream.destination);
    let duration_ns = now_ns.saturating_sub(started_ns);
    let reasons = reasons(stream, status, duration_ns);
    if reasons != 0 {
        copy_words(&mut meter.request, stream);
    }
    if !maps::close_stream(key) {
        return;
    }
    maps::count_rpc(RpcEvent::Completed);

    let mut method = label;
    if method == METHOD_OTHER && path != 0 {
        let key = MethodKey {
            path,
            service,
            reserved: 0,
        };
        if is_answer && status != StatusCode::Unimplemented as u32 {
            if maps::promote(&key) {
                method = path;
            } else {
                maps::skipped(Skip::MethodsFull);
            }
        } else if maps::method(&key).is_some() {
            method = path;
        }
    }
    let side = side(meter);
    let row = RpcKey {
        method,
        source,
        destination,
        status,
        side,
    };
    let Some(row) = maps::rpcs(&row) else {
        maps::skipped(Skip::RpcsFull);
        return;
    };
    row.observe_duration(duration_ns);
    if first_ns != 0 {
        row.observe_first_response(first_ns.saturating_sub(started_ns));
    }
    row.add_bytes(request_bytes, response_bytes);
    if reasons != 0 {
        observe(meter, key, method, status, side, reasons);
    }
}
