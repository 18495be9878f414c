// Opens and cancels gRPC streams. Each line on its input is a number of cycles, a fifth of each kind; when all are finished it writes
// how many of each were.
//   bun cycle-client.ts <url> <SDK key> <bytes of the first message>
import { createInterface } from "node:readline";
import { CANCEL } from "../../tests/support/clients/http2-frames.ts";
import { encodeRequest } from "../../tests/support/clients/spec-messages.ts";
import {
  StreamConnection,
  type StreamConnectionOptions,
} from "../../tests/support/clients/stream-connection.ts";
import { CYCLE_KINDS, type CycleKind } from "./cycle-kinds.ts";

/** How many connections there are for each kind of cycle. */
const CONNECTIONS = 20;

/** A connection that cancels more than 100 requests a second at once is not read for a second. */
const AT_ONCE_EVERY_MS = 11;

const [url = "", sdkKey = "", messageBytes = "0"] = process.argv.slice(2);
const request = encodeRequest({ sdkKey, version: 2 });

function optionsOf(kind: CycleKind): StreamConnectionOptions {
  if (kind === "with no window") return { streamWindow: 0 };
  if (kind === "in the first message") return { streamWindow: Number(messageBytes) / 2 };
  return {};
}

/** Resolves when the stream is cancelled. Rejects if the relay ends it. */
function cycle(connection: StreamConnection, kind: CycleKind): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = 0;
    const cancel = () => {
      connection.reset(id, CANCEL);
      resolve();
    };
    const id = connection.open(request, {
      onHeaders: (isEnd) => {
        if (isEnd) reject(new Error("the relay refused a stream"));
        else if (kind === "after the response headers" || kind === "with no window") cancel();
      },
      onData: (payload) => {
        received += payload.length;
        if (received >= (kind === "in the first message" ? 1 : Number(messageBytes))) cancel();
      },
      onEnd: (how) => reject(new Error(`the stream was ${how}`)),
    });
    if (kind === "at once") cancel();
  });
}

async function runCycles(connection: StreamConnection, kind: CycleKind, cycles: number): Promise<void> {
  for (let done = 0; done < cycles; done++) {
    await cycle(connection, kind);
    if (kind === "at once") await Bun.sleep(AT_ONCE_EVERY_MS);
  }
}

const connections = await Promise.all(
  CYCLE_KINDS.flatMap((kind) =>
    Array.from({ length: CONNECTIONS }, async () => ({
      kind,
      connection: await StreamConnection.open(url, optionsOf(kind)),
    })),
  ),
);

for await (const line of createInterface({ input: process.stdin })) {
  const cycles = Math.ceil(JSON.parse(line) / connections.length);
  await Promise.all(connections.map(({ connection, kind }) => runCycles(connection, kind, cycles)));
  const done = CYCLE_KINDS.map((kind) => [kind, cycles * CONNECTIONS] as const);
  process.stdout.write(`${JSON.stringify(Object.fromEntries(done))}\n`);
}
