// Holds many gRPC streams open and reports when all of them have the next message. A line on its input, "pause" or "resume" as
// JSON, makes it stop reading, or read again.
//   bun stream-client.ts <url> <SDK key> <connections> <streams per connection> [<windows>]
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { fromBinary } from "@bufbuild/protobuf";
import { ConfigSpecResponseSchema } from "../../src/gen/statsig_forward_proxy_pb.ts";
import { encodeRequest } from "../../tests/support/clients/spec-messages.ts";
import { StreamConnection } from "../../tests/support/clients/stream-connection.ts";
import type { Delivery } from "./delivery.ts";
import { FrameReader } from "./frame-reader.ts";
import { WINDOWS, type WindowsName } from "./windows.ts";

const [url = "", sdkKey = "", connections = "1", streamsEach = "1", windows = "HTTP/2"] =
  process.argv.slice(2);
const streams = Number(connections) * Number(streamsEach);
const request = encodeRequest({ sdkKey, version: 2 });

/** Arrival times of the current message, one for each stream that has received all of it. */
let arrivals: number[] = [];
let verified: FrameReader | undefined;

const opened: StreamConnection[] = [];
for (let at = 0; at < Number(connections); at++) {
  const connection = await StreamConnection.open(url, WINDOWS[windows as WindowsName]);
  opened.push(connection);
  for (let each = 0; each < Number(streamsEach); each++) openStream(connection);
}

createInterface({ input: process.stdin }).on("line", (line) => {
  for (const connection of opened) {
    if (JSON.parse(line) === "pause") connection.pause();
    else connection.resume();
  }
});

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
