"""A grpcio server and client of the behaviour tests: the same command line as mesh-rpc.

echo.py serve ADDRESS IDENTITY | echo.py call ADDRESS CHANNELS CALLS
"""

import collections
import concurrent.futures
import json
import socket
import sys

import grpc

METHOD = "/mesh.test.Echo/Say"
PAYLOAD = b"p" * 1024
DEADLINE_SECONDS = 10


class Echo(grpc.GenericRpcHandler):
    """mesh.test.Echo: answers its identity, a line feed and the request."""

    def __init__(self, identity):
        self.identity = identity.encode()

    def service(self, details):
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: self.identity + b"\n" + request
        )


def serve(address, identity):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((Echo(identity),))
    server.add_insecure_port(address)
    server.start()
    print("listening", flush=True)
    sys.stdin.read()
    server.stop(grace=1).wait()


def call(address, channels, calls):
    answers = collections.Counter()
    failures = collections.Counter()
    for _ in range(channels):
        # Channels to one address share a connection unless told otherwise.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        with grpc.insecure_channel(address, options=options) as channel:
            say = channel.unary_unary(METHOD)
            for _ in range(calls):
                try:
                    identity, payload = say(PAYLOAD, timeout=DEADLINE_SECONDS).split(b"\n", 1)
                except grpc.RpcError as error:
                    failures[str(error)] += 1
                    continue
                if payload == PAYLOAD:
                    answers[identity.decode()] += 1
                else:
                    failures["not what was sent"] += 1
    report = {"answers": answers, "failures": failures, "peer": peer_name(address)}
    print(json.dumps(report), flush=True)


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
        serve(target, rest[0])
    else:
        call(target, int(rest[0]), int(rest[1]))
