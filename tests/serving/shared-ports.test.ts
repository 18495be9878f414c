import { expect, test } from "bun:test";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";

const THREADS = ["--serving-threads", "3"];

const hasIpv6 = (): boolean => {
  try {
    Bun.listen({ hostname: "::1", port: 0, socket: { data: () => {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
};

/** Addresses of two relays that exclude each other on one port. */
const pairs: readonly (readonly [string, string])[] = [
  ["127.0.0.1", "127.0.0.1"],
  ["0.0.0.0", "127.0.0.1"],
  ...(hasIpv6() ? [["::", "127.0.0.1"] as const, ["127.0.0.1", "::"] as const] : []),
];

test.each(pairs)(
  "a relay on %s: a second one on %s with one of its ports does not start, and the first loses no connection",
  async (first, second) => {
    await using relay = await startRelayProcess({ args: [...THREADS, "--bind-address", first] });
    const { httpPort, grpcPort } = relay;
    let isOver = false;
    const watching = (async () => {
      let failures = 0;
      const url = `http://127.0.0.1:${httpPort}/v1/health`;
      while (!isOver) {
        const answers = Array.from({ length: 10 }, () =>
          fetch(url, { headers: { connection: "close" } }).then(
            ({ status }) => status,
            () => 0,
          ),
        );
        failures += (await Promise.all(answers)).filter((status) => status !== 200).length;
        await Bun.sleep(5);
      }
      return failures;
    })();
    const ports = [
      ["http", "--http-port", httpPort],
      ["grpc", "--grpc-port", grpcPort],
    ] as const;
    for (const [mode, option, port] of ports) {
      const args = [...THREADS, "--bind-address", second, option, String(port), mode, "disabled"];
      const { exitCode, stderr } = await runRelay(args);
      const refusal = `cannot listen on ${option} ${port} of --bind-address "${second}": the port is in use`;
      expect([exitCode, stderr]).toEqual([1, `error: ${refusal}\n`]);
    }
    isOver = true;
    expect(await watching).toBe(0);
    expect(relay.output()).not.toContain("serving thread lost");
  },
  30_000,
);
