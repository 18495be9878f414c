// Holds many gRPC streams open and reports when all of them have the next message.
//   bun stream-client.ts <url> <SDK key> <connections> <streams per connection>
import { createHash } from "node:crypto";
import http2 from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ConfigSpecRequest_apiVersion,
  ConfigSpecRequestSchema,
  ConfigSpecResponseSchema,
} from "../../src/gen/statsig_forward_proxy_pb.ts";
import type { Delivery } from "./delivery.ts";
import { FrameReader } from "./frame-reader.ts";

const [url = "", sdkKey = "", connections = "1", streamsEach = "1"] = process.argv.slice(2);
const streams = Number(connections) * Number(streamsEach);

/** Arrival times of the current message, one for each stream that has received all of it. */
let arrivals: number[] = [];
let verified: FrameReader | undefined;

for (let at = 0; at < Number(connections); at++) {
  // Certificates are not verified: no measurement depends on that.
  const session = http2.connect(url, { rejectUnauthorized: false });
  session.on("error", fail);
  for (let each = 0; each < Number(streamsEach); each++) openStream(session);
}

function openStream(session: http2.ClientHttp2Session): void {
  const stream = session.request({
    ":method": "POST",
    ":path": "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const reader = new FrameReader(verified === undefined);
  verified ??= reader;
  stream.on("data", (chunk: Buffer) => {
    const before = reader.messages;
    reader.push(chunk);
    if (reader.messages > before) arrived();
  });
  stream.on("error", fail);
  stream.on("close", () => fail(new Error(`a stream ended with code ${stream.rstCode}`)));
  stream.end(requestFrame());
}

function arrived(): void {
  arrivals.push(performance.timeOrigin + performance.now());
  if (arrivals.length === streams) report();
}

function report(): void {
  const message = fromBinary(ConfigSpecResponseSchema, verified?.lastMessage ?? new Uint8Array());
  const specDigest = createHash("sha256").update(message.spec).digest("hex");
  const delivery: Delivery = { arrivals, lcut: Number(message.lastUpdated), specDigest };
  arrivals = [];
  process.stdout.write(`${JSON.stringify(delivery)}\n`);
}

function requestFrame(): Uint8Array {
  const version = ConfigSpecRequest_apiVersion.v2;
  const message = toBinary(ConfigSpecRequestSchema, create(ConfigSpecRequestSchema, { sdkKey, version }));
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  return frame;
}

function fail(error: Error): void {
  process.stderr.write(`stream client: ${error.message}\n`);
  process.exit(1);
}
