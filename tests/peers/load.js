// A grpc-js client of mesh.test.Load: the same command line as mesh-rpc.
//
// load.js load ADDRESS CONNECTIONS STREAMS PLAN...
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");

const SERVICE = "/mesh.test.Load/";
const BOUNDS_NS = [
  50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 75000, 100000, 250000, 500000, 750000, 1000000, 2500000,
  5000000, 7500000, 10000000,
].map((bound) => bound * 1000);
const same = (bytes) => bytes;

class Truth {
  constructor() {
    this.calls = {};
    this.wrong = 0;
    this.first_wrong = null;
  }

  add(method, code, durationNs) {
    const name = `${method} ${grpc.status[code]}`;
    this.calls[name] ??= { count: 0, sum_ns: 0, buckets: new Array(BOUNDS_NS.length + 1).fill(0) };
    const outcome = this.calls[name];
    outcome.count += 1;
    outcome.sum_ns += durationNs;
    const bucket = BOUNDS_NS.findIndex((bound) => durationNs <= bound);
    outcome.buckets[bucket < 0 ? BOUNDS_NS.length : bucket] += 1;
  }

  complain(what) {
    this.wrong += 1;
    this.first_wrong ??= what;
  }
}

class Call {
  constructor(line) {
    const [method, ...numbers] = line.split(" ");
    [this.status, this.requests, this.requestBytes, this.replies, this.replyBytes, this.delayUs] = numbers.map(Number);
    this.method = method;
  }

  messages() {
    const first = Buffer.alloc(this.requestBytes);
    first.writeUInt8(this.status, 0);
    first.writeUInt8(this.replies, 1);
    first.writeUInt32BE(this.replyBytes, 2);
    first.writeUInt32BE(this.delayUs, 6);
    const rest = Buffer.alloc(this.requestBytes);
    return [first, ...new Array(this.requests - 1).fill(rest)];
  }

  expectedReplies() {
    if (this.method === "List") return this.replies;
    if (this.method === "Chat") return this.requests;
    return this.status !== 0 || this.method === "Missing" ? 0 : 1;
  }
}

function perform(client, call, truth) {
  const path = SERVICE + call.method;
  const messages = call.messages();
  const replies = [];
  const startedNs = process.hrtime.bigint();
  return new Promise((resolve) => {
    const finish = (status) => {
      truth.add(call.method, status.code, Number(process.hrtime.bigint() - startedNs));
      const right = replies.length === call.expectedReplies() && replies.every((bytes) => bytes === call.replyBytes);
      if (!right) truth.complain(`${JSON.stringify(call)}: ${status.code}, ${replies}`);
      resolve();
    };
    const metadata = new grpc.Metadata();
    const unary = (_error, reply) => {
      if (reply) replies.push(reply.length);
    };
    let running;
    if (call.method === "List") {
      running = client.makeServerStreamRequest(path, same, same, messages[0], metadata);
    } else if (call.method === "Upload") {
      running = client.makeClientStreamRequest(path, same, same, metadata, unary);
    } else if (call.method === "Chat") {
      running = client.makeBidiStreamRequest(path, same, same, metadata);
    } else {
      running = client.makeUnaryRequest(path, same, same, messages[0], metadata, unary);
    }
    if (call.method === "List" || call.method === "Chat") {
      running.on("data", (reply) => replies.push(reply.length));
      running.on("error", () => {});
    }
    if (call.method === "Upload" || call.method === "Chat") {
      for (const message of messages) running.write(message);
      running.end();
    }
    // The callback of a unary call comes before or after its status; what it brings is looked at afterwards.
    running.on("status", (status) => setImmediate(finish, status));
  });
}

async function load(address, connections, streams, plans) {
  const options = { "grpc.use_local_subchannel_pool": 1, "grpc.enable_retries": 0 };
  const clients = Array.from(
    { length: connections },
    () => new grpc.Client(address, grpc.credentials.createInsecure(), options),
  );
  const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (const [number, plan] of plans.entries()) {
    if (number > 0) await input.next();
    const truth = new Truth();
    const calls = fs.readFileSync(plan, "utf8").trimEnd().split("\n").map((line) => new Call(line));
    let next = 0;
    const work = async (client) => {
      while (next < calls.length) await perform(client, calls[next++], truth);
    };
    await Promise.all(clients.flatMap((client) => Array.from({ length: streams }, () => work(client))));
    console.log(JSON.stringify(truth));
  }
  for (const client of clients) client.close();
  process.exit(0);
}

const [verb, address, connections, streams, ...plans] = process.argv.slice(2);
if (verb !== "load") throw new Error("load.js is a client only");
load(address, Number(connections), Number(streams), plans);
