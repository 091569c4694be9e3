// A grpc-js client of mesh.test.Features: the same command line as mesh-rpc.
//
// features.js features ADDRESS
"use strict";

const assert = require("node:assert");
const { once } = require("node:events");
const grpc = require("@grpc/grpc-js");

const SERVICE = "/mesh.test.Features/";
const STREAMS = 1000;
const LIMIT_MS = 20000;
const GZIP = 2;
const OPTIONS = { "grpc.use_local_subchannel_pool": 1, "grpc.enable_retries": 0 };
const same = (bytes) => bytes;
const text = (value) => Buffer.from(String(value));

function connect(address, options) {
  return new grpc.Client(address, grpc.credentials.createInsecure(), { ...OPTIONS, ...options });
}

function unary(client, method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    const seen = {};
    const call = client.makeUnaryRequest(SERVICE + method, same, same, request, metadata, (error, reply) => {
      if (error) reject(error);
      // The status comes before or after the reply.
      else setImmediate(() => resolve({ ...seen, reply }));
    });
    call.on("metadata", (headers) => (seen.headers = headers));
    call.on("status", (status) => (seen.trailers = status.metadata));
  });
}

// A call with one request and a stream of replies.
function stream(client, method, request, options = {}) {
  const call = client.makeServerStreamRequest(SERVICE + method, same, same, request, new grpc.Metadata(), options);
  call.on("error", () => {});
  return call;
}

// The status that a call ends with; the error that comes with it is no surprise.
function status(call) {
  return new Promise((resolve) => call.on("status", resolve));
}

async function collect(call) {
  const replies = [];
  call.on("data", (reply) => replies.push(reply.toString()));
  await once(call, "end");
  return replies;
}

class Scenarios {
  constructor(address) {
    this.client = connect(address, {});
    this.squeezing = connect(address, { "grpc.default_compression_algorithm": GZIP });
    this.seenAt = null;
  }

  async unary() {
    const request = Buffer.alloc(1024, "x");
    assert((await unary(this.client, "Echo", request)).reply.equals(request));
  }

  async client_streaming() {
    const reply = await new Promise((resolve, reject) => {
      const done = (error, reply) => (error ? reject(error) : resolve(reply));
      const call = this.client.makeClientStreamRequest(SERVICE + "Count", same, same, new grpc.Metadata(), done);
      for (let number = 0; number < 5; number += 1) call.write(Buffer.alloc(100));
      call.end();
    });
    assert.equal(reply.toString(), "5 500");
  }

  async server_streaming() {
    const replies = await collect(stream(this.client, "Spread", text(7)));
    assert.deepEqual(replies, ["0", "1", "2", "3", "4", "5", "6"]);
  }

  async bidirectional() {
    const call = this.client.makeBidiStreamRequest(SERVICE + "Echo", same, same, new grpc.Metadata());
    for (let number = 0; number < 5; number += 1) {
      call.write(text(number));
      const [reply] = await once(call, "data");
      assert.equal(reply.toString(), String(number));
    }
    const ended = status(call);
    call.end();
    call.resume();
    assert.equal((await ended).code, grpc.status.OK);
  }

  async metadata() {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, number) => number));
    const metadata = new grpc.Metadata();
    metadata.set("x-text", "some text");
    metadata.set("x-bytes-bin", bytes);
    const { headers, trailers } = await unary(this.client, "Echo", text("x"), metadata);
    for (const seen of [headers, trailers]) {
      assert.deepEqual(seen.get("x-text"), ["some text"]);
      assert(seen.get("x-bytes-bin")[0].equals(bytes));
    }
  }

  async early_headers() {
    const call = stream(this.client, "Hold", text("js-early"));
    await once(call, "metadata");
    // Before the reply is on its way: a proxy that waits for it waits for ever.
    const replies = collect(call);
    await unary(this.client, "Release", text("js-early"));
    assert.deepEqual(await replies, ["js-early"]);
  }

  async deadline() {
    // Long enough for a busy machine to bring the call to the server.
    const call = stream(this.client, "Hold", text("js-deadline"), { deadline: Date.now() + 1000 });
    call.resume();
    assert.equal((await status(call)).code, grpc.status.DEADLINE_EXCEEDED);
    await unary(this.client, "Ended", text("js-deadline"));
  }

  async cancellation() {
    const call = stream(this.client, "Hold", text("js-cancel"));
    await once(call, "metadata");
    const ended = status(call);
    call.cancel();
    call.resume();
    assert.equal((await ended).code, grpc.status.CANCELLED);
    await unary(this.client, "Ended", text("js-cancel"));
  }

  async four_mib() {
    const request = Buffer.alloc(4 << 20);
    assert((await unary(this.client, "Echo", request)).reply.equals(request));
  }

  async compression() {
    const request = Buffer.alloc(100000);
    assert((await unary(this.squeezing, "Squeeze", request)).reply.equals(request));
  }

  async thousand_streams() {
    const calls = Array.from({ length: STREAMS }, () => unary(this.client, "Gather", text(STREAMS)));
    for (const { reply } of await Promise.all(calls)) assert.equal(reply.toString(), String(STREAMS));
  }

  async peer() {
    this.seenAt = (await unary(this.client, "Peer", text(""))).reply.toString();
  }
}

const NAMES = [
  "unary", "client_streaming", "server_streaming", "bidirectional", "metadata", "early_headers", "deadline",
  "cancellation", "four_mib", "compression", "thousand_streams", "peer",
];

async function features(address) {
  const client = new Scenarios(address);
  const scenarios = {};
  for (const name of NAMES) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("not in time")), LIMIT_MS);
    });
    scenarios[name] = await Promise.race([client[name](), late]).then(() => null, String);
    clearTimeout(timer);
  }
  console.log(JSON.stringify({ scenarios, seen_at: client.seenAt }));
  process.exit(0);
}

const [verb, address] = process.argv.slice(2);
if (verb !== "features") throw new Error("features.js is a client only");
features(address);
