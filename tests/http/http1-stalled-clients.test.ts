import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { EventStream } from "../support/clients/event-stream.ts";
import { countMixedResponses } from "../support/clients/pipelining-client.ts";
import { UnreadingClient } from "../support/clients/unreading-client.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey, publishSized } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

// Whether a response is written as it is or joined with its head into one buffer depends on its size.
test.each([12_000, 40_000])(
  "a client that stalls gets its own responses of %d bytes, whatever others request meanwhile",
  async (bytes) => {
    await using upstream = await startUpstream();
    const stalled = publishSized(upstream, "secret-stalled", bytes);
    const other = publishSized(upstream, "secret-other", bytes);
    await using relay = await startRelayProcess({ upstream, mode: "http", pollIntervalS: 60 });
    expect(await countMixedResponses(relay.httpUrl, stalled, other)).toBe(0);
  },
  40_000,
);

// TCP_USER_TIMEOUT and /proc are Linux's.
test.skipIf(process.platform !== "linux")(
  "a client that does not read the end of a response loses its connection, and another may connect",
  async () => {
    await using upstream = await startUpstream();
    const { path, body } = publishSized(upstream, "secret-unread", 200_000);
    await using relay = await startRelayProcess({
      ...{ upstream, mode: "http" },
      args: ["--max-connections", "1", "--http2-keepalive-timeout-in-s", "4"],
    });
    using client = new UnreadingClient(relay.httpUrl);
    await client.requestUntilFull(path, body.length);
    expect(relay.openConnections("http")).toBe(1);
    await eventually(() => expect(relay.openConnections("http")).toBe(0), { withinMs: 40_000, everyMs: 200 });
    expect((await fetch(`${relay.httpUrl}/v1/health`)).status).toBe(200);
  },
  70_000,
);

test.skipIf(process.platform !== "linux")(
  "the kernel probes the client of a stream that is silent for 30 s",
  async () => {
    await using upstream = await startUpstream();
    const { sdkKey, v2 } = publishKey(upstream, "secret-silent");
    await using relay = await startRelayProcess({ upstream, mode: "http" });
    using events = await EventStream.open(`${relay.httpUrl}/v2/stream_config_specs/${sdkKey}`);
    expect((await events.next()).data).toBe(v2);
    const ofRelay = new RegExp(`^ *\\d+: \\w+:${relay.httpPort.toString(16).padStart(4, "0")} `, "i");
    await eventually(
      () => {
        const rows = readFileSync("/proc/net/tcp", "latin1").split("\n");
        const timers = rows.filter((row) => ofRelay.test(row)).map((row) => row.trim().split(/\s+/)[5] ?? "");
        // The number of the timer of SO_KEEPALIVE, and the time that is left in hundredths of a second.
        const leftS = timers.flatMap((timer) =>
          timer.startsWith("02:") ? Number.parseInt(timer.slice(3), 16) / 100 : [],
        );
        expect(leftS).toHaveLength(1);
        expect(leftS[0]).toBeWithin(15, 30.1);
      },
      { withinMs: 15_000 },
    );
  },
);
