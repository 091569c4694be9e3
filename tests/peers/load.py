"""A grpcio server and client of mesh.test.Load: the same command line as mesh-rpc.

load.py load-serve ADDRESS | load.py load ADDRESS CONNECTIONS STREAMS PLAN...
"""

import asyncio
import bisect
import json
import sys
import time

import grpc

SERVICE = "/mesh.test.Load/"
ORDER_BYTES = 10
CODES = {code.value[0]: code for code in grpc.StatusCode}
BOUNDS_NS = [
    bound * 1000
    for bound in (
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000,
        1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
    )
]


class Order:
    """What the first message of a call says."""

    def __init__(self, message):
        self.status = message[0]
        self.replies = message[1]
        self.reply = bytes(int.from_bytes(message[2:6], "big"))
        self.delay_seconds = int.from_bytes(message[6:10], "big") / 1e6

    async def begin(self):
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)

    async def end(self, context):
        if self.status:
            await context.abort(CODES[self.status], "as ordered")


async def unary(request, context):
    order = Order(request)
    await order.begin()
    await order.end(context)
    return order.reply


async def list_replies(request, context):
    order = Order(request)
    await order.begin()
    for _ in range(order.replies):
        yield order.reply
    await order.end(context)


async def upload(requests, context):
    order = None
    async for request in requests:
        order = order or Order(request)
    await order.begin()
    await order.end(context)
    return order.reply


async def chat(requests, context):
    order = None
    async for request in requests:
        if order is None:
            order = Order(request)
            await order.begin()
        yield order.reply
    await order.end(context)


class Load(grpc.GenericRpcHandler):
    """mesh.test.Load."""

    def service(self, details):
        method = details.method.removeprefix(SERVICE)
        if method.startswith(("Get", "Put")):
            return grpc.unary_unary_rpc_method_handler(unary)
        if method == "List":
            return grpc.unary_stream_rpc_method_handler(list_replies)
        if method == "Upload":
            return grpc.stream_unary_rpc_method_handler(upload)
        if method == "Chat":
            return grpc.stream_stream_rpc_method_handler(chat)
        return None


async def serve(address):
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 1000)])
    server.add_generic_rpc_handlers((Load(),))
    server.add_insecure_port(address)
    await server.start()
    print("listening", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(grace=1)


class Truth:
    """What this client saw."""

    def __init__(self):
        self.calls = {}
        self.wrong = 0
        self.first_wrong = None

    def add(self, method, status, duration_ns):
        outcome = self.calls.setdefault(
            f"{method} {status}", {"count": 0, "sum_ns": 0, "buckets": [0] * (len(BOUNDS_NS) + 1)}
        )
        outcome["count"] += 1
        outcome["sum_ns"] += duration_ns
        outcome["buckets"][bisect.bisect_left(BOUNDS_NS, duration_ns)] += 1

    def complain(self, what):
        self.wrong += 1
        self.first_wrong = self.first_wrong or what

    def print(self):
        print(json.dumps(vars(self)), flush=True)


class Call:
    """One line of a plan."""

    def __init__(self, line):
        self.method, *numbers = line.split(" ")
        (
            self.status, self.requests, self.request_bytes, self.replies, self.reply_bytes, self.delay_us,
        ) = map(int, numbers)

    def messages(self):
        order = (
            bytes((self.status, self.replies))
            + self.reply_bytes.to_bytes(4, "big")
            + self.delay_us.to_bytes(4, "big")
        )
        first = order + bytes(self.request_bytes - ORDER_BYTES)
        return [first] + [bytes(self.request_bytes)] * (self.requests - 1)

    def expected_replies(self):
        if self.method == "List":
            return self.replies
        if self.method == "Chat":
            return self.requests
        return 0 if self.status or self.method == "Missing" else 1


async def perform(channel, call, truth):
    path = SERVICE + call.method
    messages = call.messages()

    async def stream():
        for message in messages:
            yield message

    replies = []
    started_ns = time.perf_counter_ns()
    if call.method == "List":
        running = channel.unary_stream(path)(messages[0])
    elif call.method == "Upload":
        running = channel.stream_unary(path)(stream())
    elif call.method == "Chat":
        running = channel.stream_stream(path)(stream())
    else:
        running = channel.unary_unary(path)(messages[0])
    try:
        if call.method in ("List", "Chat"):
            async for reply in running:
                replies.append(len(reply))
        else:
            replies.append(len(await running))
    except grpc.RpcError:
        pass
    status = await running.code()
    truth.add(call.method, status.name, time.perf_counter_ns() - started_ns)
    if replies != [call.reply_bytes] * call.expected_replies():
        truth.complain(f"{vars(call)}: {status}, {replies}")


async def load(address, connections, streams, plans):
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
    loop = asyncio.get_running_loop()
    for number, plan in enumerate(plans):
        if number > 0:
            await loop.run_in_executor(None, sys.stdin.readline)
        truth = Truth()
        with open(plan) as lines:
            calls = iter([Call(line.rstrip("\n")) for line in lines])

        async def work(channel):
            for call in calls:
                await perform(channel, call, truth)

        await asyncio.gather(*(work(channel) for channel in channels for _ in range(streams)))
        truth.print()
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    verb, target, *rest = sys.argv[1:]
    if verb == "load-serve":
        asyncio.run(serve(target))
    else:
        asyncio.run(load(target, int(rest[0]), int(rest[1]), rest[2:]))
