"""A grpcio server and client of the behaviour tests: the same command line as mesh-rpc.

echo.py serve ADDRESS IDENTITY DELAY_MS | echo.py call ADDRESS CHANNELS CALLS
echo.py steady ADDRESS CONNECTIONS STREAMS stay|come
"""

import collections
import concurrent.futures
import json
import signal
import socket
import sys
import threading
import time

import grpc

METHOD = "/mesh.test.Echo/Say"
PAYLOAD = b"p" * 1024
DEADLINE_SECONDS = 10
# Channels to one address share a connection unless told otherwise. Without a retry policy "retries" are those of calls that no
# server has seen; a client that keeps its connection needs them, since it may send one more call before it has read a GOAWAY.
STEADY_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
OPTIONS = [*STEADY_OPTIONS, ("grpc.enable_retries", 0)]
# Of a steady client's calls: one that is lost is to be seen, one that a busy machine is slow with is not.
STEADY_DEADLINE_SECONDS = 120
# Between two calls of a steady client's stream: it is to call all the time, not to take all of the machine.
PAUSE_SECONDS = 0.005


class Echo(grpc.GenericRpcHandler):
    """mesh.test.Echo: answers its identity, a line feed and the request."""

    def __init__(self, identity, delay_seconds):
        self.identity = identity.encode()
        self.delay_seconds = delay_seconds

    def service(self, details):
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(self.say)

    def say(self, request, _context):
        time.sleep(self.delay_seconds)
        return self.identity + b"\n" + request


class Terminated(Exception):
    """SIGTERM has come."""


def terminate(_signal, _frame):
    raise Terminated


def serve(address, identity, delay_ms):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((Echo(identity, delay_ms / 1000),))
    server.add_insecure_port(address)
    server.start()
    signal.signal(signal.SIGTERM, terminate)
    print("listening", flush=True)
    try:
        sys.stdin.read()
    except Terminated:
        pass
    server.stop(grace=10).wait()


def call(address, channels, calls):
    answers = collections.Counter()
    failures = collections.Counter()
    for _ in range(channels):
        with grpc.insecure_channel(address, options=OPTIONS) as channel:
            for _ in range(calls):
                perform(channel, DEADLINE_SECONDS, answers, failures)
    report = {"answers": answers, "failures": failures, "peer": peer_name(address)}
    print(json.dumps(report), flush=True)


def perform(channel, deadline_seconds, answers, failures):
    try:
        identity, payload = channel.unary_unary(METHOD)(PAYLOAD, timeout=deadline_seconds).split(b"\n", 1)
    except grpc.RpcError as error:
        failures[str(error)] += 1
        return
    if payload == PAYLOAD:
        answers[identity.decode()] += 1
    else:
        failures["not what was sent"] += 1


class Steady:
    """Calls all the time; says with each line of input what came of the calls since the last one."""

    def __init__(self, address, workers):
        self.address = address
        self.lock = threading.Condition()
        self.answers, self.failures = collections.Counter(), collections.Counter()
        self.round, self.reached, self.is_over = 1, [0] * workers, False

    def work(self, number, channel):
        while not self.is_over:
            round_begun = self.round
            answers, failures = collections.Counter(), collections.Counter()
            if channel:
                perform(channel, STEADY_DEADLINE_SECONDS, answers, failures)
            else:
                with grpc.insecure_channel(self.address, options=OPTIONS) as own:
                    perform(own, STEADY_DEADLINE_SECONDS, answers, failures)
            with self.lock:
                self.answers += answers
                self.failures += failures
                self.reached[number] = round_begun
                self.lock.notify_all()
            time.sleep(PAUSE_SECONDS)

    def tell(self):
        with self.lock:
            self.lock.wait_for(lambda: min(self.reached) >= self.round)
            print(json.dumps({"answers": self.answers, "failures": self.failures, "peer": None}), flush=True)
            self.answers, self.failures = collections.Counter(), collections.Counter()


def steady(address, connections, streams, habit):
    client = Steady(address, connections * streams)
    stays = habit == "stay"
    channels = [grpc.insecure_channel(address, options=STEADY_OPTIONS) if stays else None for _ in range(connections)]
    threads = [
        threading.Thread(target=client.work, args=(number, channels[number % connections]))
        for number in range(connections * streams)
    ]
    for thread in threads:
        thread.start()
    client.tell()
    for _line in sys.stdin:
        client.round += 1
        client.tell()
    client.is_over = True
    for thread in threads:
        thread.join()
    client.tell()


def peer_name(address):
    """What getpeername() answers on a dual-stack socket of Python's own: grpcio does not show its sockets."""
    host, port = address.rsplit(":", 1)
    host = host.strip("[]")
    if ":" not in host:
        host = "::ffff:" + host
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as connection:
        connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        connection.connect((host, int(port)))
        peer = connection.getpeername()
    return "[%s]:%d" % peer[:2]


if __name__ == "__main__":
    verb, target, *rest = sys.argv[1:]
    if verb == "serve":
        serve(target, rest[0], int(rest[1]))
    elif verb == "steady":
        steady(target, int(rest[0]), int(rest[1]), rest[2])
    else:
        call(target, int(rest[0]), int(rest[1]))
