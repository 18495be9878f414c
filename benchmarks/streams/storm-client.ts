// Holds gRPC streams. Each line on its input makes it cut all connections that are left and open all streams again at once; when each has
// its first message it writes the result. See storm.ts.
//   bun storm-client.ts <url> <SDK key> <connections> <streams per connection>
import { createInterface } from "node:readline";
import { encodeRequest } from "../../tests/support/clients/spec-messages.ts";
import { StreamConnection } from "../../tests/support/clients/stream-connection.ts";
import { FrameReader } from "../fanout/frame-reader.ts";
import type { StormOrder, StormResult } from "./storm.ts";

const [url = "", sdkKey = "", connections = "1", streamsEach = "1"] = process.argv.slice(2);
const RETRY_AFTER_MS = 50;

const open: StreamConnection[] = [];

async function storm({ sinceTime }: StormOrder): Promise<StormResult> {
  for (const connection of open.splice(0)) connection[Symbol.dispose]();
  const request = encodeRequest({ sdkKey, version: 2, sinceTime });
  const startedAt = performance.now();
  const arrivals: number[] = [];
  let [connectedMs, retries, bytes] = [0, 0, 0];

  const follow = (connection: StreamConnection) =>
    new Promise<void>((resolve, reject) => {
      const reader = new FrameReader(false, 1);
      const onData = (payload: Buffer) => {
        bytes += payload.length;
        const before = reader.messages;
        reader.push(payload);
        if (before > 0 || reader.messages === 0) return;
        arrivals.push(performance.now() - startedAt);
        resolve();
      };
      connection.open(request, { onData, onEnd: (how) => reject(new Error(`a stream was ${how}`)) });
    });

  const connect = async (): Promise<StreamConnection> => {
    for (;;) {
      const connection = await StreamConnection.open(url).catch(() => undefined);
      if (connection !== undefined) return connection;
      retries++;
      await Bun.sleep(RETRY_AFTER_MS);
    }
  };

  const openAll = async (): Promise<void> => {
    const connection = await connect();
    connectedMs = Math.max(connectedMs, performance.now() - startedAt);
    const streams = Array.from({ length: Number(streamsEach) }, () => follow(connection));
    try {
      await Promise.all(streams);
      open.push(connection);
    } catch (error) {
      // Beyond its backlog the system cuts connections that were just made. With several streams some may have their message.
      if (streams.length > 1 || !connection.isClosed) throw error;
      retries++;
      await Bun.sleep(RETRY_AFTER_MS);
      return openAll();
    }
  };

  await Promise.all(Array.from({ length: Number(connections) }, openAll));
  const [firstMs = Number.NaN] = arrivals;
  const medianMs = arrivals[Math.floor(arrivals.length / 2)] ?? Number.NaN;
  return { connectedMs, firstMs, medianMs, lastMs: arrivals.at(-1) ?? Number.NaN, retries, bytes };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await storm(JSON.parse(line) as StormOrder))}\n`);
}
