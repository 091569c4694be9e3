"""A grpcio server and client of mesh.test.Features: the same command line as mesh-rpc.

features.py features-serve ADDRESS | features.py features ADDRESS
"""

import asyncio
import collections
import json
import sys
import urllib.parse

import grpc

SERVICE = "/mesh.test.Features/"
TEXT = "some text"
BYTES = bytes(range(256))
FOUR_MIB = bytes(4 << 20)
STREAMS = 1000
# Fewer than the streams of one connection of a client: its calls come by more than one.
SERVER_STREAMS = 300
GZIP = grpc.Compression.Gzip
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


class Features(grpc.GenericRpcHandler):
    """The server. Every method reads and writes streams: on the wire they are all alike."""

    def __init__(self):
        self.released = collections.defaultdict(asyncio.Event)
        self.ended = collections.defaultdict(asyncio.Event)
        self.gathering, self.all_here = 0, asyncio.Event()

    def service(self, details):
        method = getattr(self, details.method.removeprefix(SERVICE), None)
        return method and grpc.stream_stream_rpc_method_handler(method)

    async def Echo(self, requests, context):
        echoed = [pair for pair in context.invocation_metadata() if pair[0] in ("x-text", "x-bytes-bin")]
        await context.send_initial_metadata(tuple(echoed))
        async for request in requests:
            yield request
        context.set_trailing_metadata(tuple(echoed))

    async def Squeeze(self, requests, context):
        context.set_compression(GZIP)
        async for request in requests:
            yield request

    async def Count(self, requests, _context):
        count, size = 0, 0
        async for request in requests:
            count, size = count + 1, size + len(request)
        yield b"%d %d" % (count, size)

    async def Spread(self, requests, _context):
        for number in range(int(await anext(requests))):
            yield b"%d" % number

    async def Hold(self, requests, context):
        key = await anext(requests)
        await context.send_initial_metadata(())
        try:
            await self.released[key].wait()
            yield key
        except asyncio.CancelledError:
            self.ended[key].set()
            raise

    async def Release(self, requests, _context):
        key = await anext(requests)
        self.released[key].set()
        yield key

    async def Ended(self, requests, _context):
        key = await anext(requests)
        await self.ended[key].wait()
        yield key

    async def Gather(self, requests, _context):
        wanted = int(await anext(requests))
        self.gathering += 1
        all_here = self.all_here
        if self.gathering == wanted:
            all_here.set()
            self.gathering, self.all_here = 0, asyncio.Event()
        await all_here.wait()
        yield b"%d" % wanted

    async def Peer(self, _requests, context):
        # gRPC writes the brackets of IPv6 as in a URI.
        peer = context.peer().removeprefix("ipv4:").removeprefix("ipv6:")
        yield urllib.parse.unquote(peer).encode()

    async def FailFirst(self, requests, context):
        if "grpc-previous-rpc-attempts" not in dict(context.invocation_metadata()):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "a first attempt")
        async for request in requests:
            yield request


async def serve(address):
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", SERVER_STREAMS)])
    server.add_generic_rpc_handlers((Features(),))
    server.add_insecure_port(address)
    await server.start()
    print("listening", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(grace=0)


def check(is_right, *seen):
    if not is_right:
        raise AssertionError(repr(seen)[:200])


class Client:
    """The client: every method is a scenario. Keys are its own: other clients use the same server."""

    def __init__(self, channel):
        self.channel = channel
        self.seen_at = None

    def unary_call(self, method, request, **options):
        return self.channel.unary_unary(SERVICE + method)(request, **options)

    def stream_call(self, method, request, **options):
        return self.channel.unary_stream(SERVICE + method)(request, **options)

    async def unary(self):
        check(await self.unary_call("Echo", b"x" * 1024) == b"x" * 1024)

    async def client_streaming(self):
        async def requests():
            for _ in range(5):
                yield b"x" * 100

        reply = await self.channel.stream_unary(SERVICE + "Count")(requests())
        check(reply == b"5 500", reply)

    async def server_streaming(self):
        replies = [reply async for reply in self.stream_call("Spread", b"7")]
        check(replies == [b"%d" % number for number in range(7)], replies)

    async def bidirectional(self):
        call = self.channel.stream_stream(SERVICE + "Echo")()
        for number in range(5):
            await call.write(b"%d" % number)
            reply = await call.read()
            check(reply == b"%d" % number, reply)
        await call.done_writing()
        check(await call.read() is grpc.aio.EOF)
        check(await call.code() == grpc.StatusCode.OK)

    async def metadata(self):
        call = self.unary_call("Echo", b"x", metadata=(("x-text", TEXT), ("x-bytes-bin", BYTES)))
        await call
        for seen in (await call.initial_metadata(), await call.trailing_metadata()):
            seen = dict(seen)
            check(seen.get("x-text") == TEXT and seen.get("x-bytes-bin") == BYTES, seen)

    async def early_headers(self):
        call = self.stream_call("Hold", b"python-early")
        await call.initial_metadata()
        # Before the reply is on its way: a proxy that waits for it waits for ever.
        await self.unary_call("Release", b"python-early")
        check([reply async for reply in call] == [b"python-early"])

    async def deadline(self):
        # Long enough for a busy machine to bring the call to the server.
        call = self.stream_call("Hold", b"python-deadline", timeout=1)
        code = await call.code()
        check(code == grpc.StatusCode.DEADLINE_EXCEEDED, code)
        await self.unary_call("Ended", b"python-deadline")

    async def cancellation(self):
        call = self.stream_call("Hold", b"python-cancel")
        await call.initial_metadata()
        call.cancel()
        check(await call.code() == grpc.StatusCode.CANCELLED)
        await self.unary_call("Ended", b"python-cancel")

    async def four_mib(self):
        check(await self.unary_call("Echo", FOUR_MIB) == FOUR_MIB)

    async def compression(self):
        check(await self.unary_call("Squeeze", bytes(100_000), compression=GZIP) == bytes(100_000))

    async def thousand_streams(self):
        request = b"%d" % STREAMS
        replies = await asyncio.gather(*(self.unary_call("Gather", request) for _ in range(STREAMS)))
        check(replies == [request] * STREAMS)

    async def peer(self):
        self.seen_at = (await self.unary_call("Peer", b"")).decode()


SCENARIOS = (
    "unary", "client_streaming", "server_streaming", "bidirectional", "metadata", "early_headers", "deadline",
    "cancellation", "four_mib", "compression", "thousand_streams", "peer",
)
LIMIT_SECONDS = 20


async def features(address):
    report = {}
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        client = Client(channel)
        for name in SCENARIOS:
            try:
                await asyncio.wait_for(getattr(client, name)(), LIMIT_SECONDS)
                report[name] = None
            except Exception as error:  # whatever it is, it is what went wrong
                report[name] = f"{type(error).__name__}: {error}"
        print(json.dumps({"scenarios": report, "seen_at": client.seen_at}), flush=True)


if __name__ == "__main__":
    verb, target = sys.argv[1:]
    asyncio.run(serve(target) if verb == "features-serve" else features(target))
