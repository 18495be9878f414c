import { createSocket } from "node:dgram";
import { createServer } from "node:http";

/** A fake StatsD agent, OpenTelemetry collector and Statsig that accept everything. */
export interface Receivers extends AsyncDisposable {
  readonly statsdPort: number;
  /** URL of the collector and of Statsig. */
  readonly url: string;
  /** Number of datagrams, and of requests by path. */
  readonly received: ReadonlyMap<string, number>;
}

export async function startReceivers(): Promise<Receivers> {
  const received = new Map<string, number>();
  const took = (what: string) => received.set(what, (received.get(what) ?? 0) + 1);
  const datagrams = createSocket("udp4").on("message", () => took("datagrams"));
  await new Promise<void>((resolve) => datagrams.bind(0, "127.0.0.1", resolve));
  const server = createServer((request, response) => {
    took(request.url ?? "");
    request.resume().once("end", () => {
      const isOtlp = request.url === "/v1/metrics";
      response
        .writeHead(isOtlp ? 200 : 202, { "content-type": "application/json" })
        .end(isOtlp ? "{}" : SUCCESS);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the receivers are not listening");
  return {
    statsdPort: datagrams.address().port,
    url: `http://127.0.0.1:${address.port}`,
    received,
    [Symbol.asyncDispose]: async () => {
      datagrams.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const SUCCESS = '{"success":true,"message":null}';
