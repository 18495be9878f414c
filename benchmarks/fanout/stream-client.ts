// Holds many gRPC streams open and reports when all of them have the next message.
//   bun stream-client.ts <url> <SDK key> <connections> <streams per connection>
import { createHash } from "node:crypto";
import { constants, setPriority } from "node:os";
import { fromBinary } from "@bufbuild/protobuf";
import { ConfigSpecResponseSchema } from "../../src/gen/statsig_forward_proxy_pb.ts";
import { encodeRequest } from "../../tests/support/clients/spec-messages.ts";
import { StreamConnection } from "../../tests/support/clients/stream-connection.ts";
import type { Delivery } from "./delivery.ts";
import { FrameReader } from "./frame-reader.ts";

const [url = "", sdkKey = "", connections = "1", streamsEach = "1"] = process.argv.slice(2);
const streams = Number(connections) * Number(streamsEach);
const request = encodeRequest({ sdkKey, version: 2 });

// A probe on the same core must not wait for it.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

/** Arrival times of the current message, one for each stream that has received all of it. */
let arrivals: number[] = [];
let verified: FrameReader | undefined;

for (let at = 0; at < Number(connections); at++) {
  const connection = await StreamConnection.open(url);
  for (let each = 0; each < Number(streamsEach); each++) openStream(connection);
}

function openStream(connection: StreamConnection): void {
  const reader = new FrameReader(verified === undefined);
  verified ??= reader;
  connection.open(request, {
    onData: (payload) => {
      const before = reader.messages;
      reader.push(payload);
      if (reader.messages > before) arrived();
    },
    onEnd: (how) => fail(`a stream was ${how}`),
  });
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

function fail(why: string): void {
  process.stderr.write(`stream client: ${why}\n`);
  process.exit(1);
}
