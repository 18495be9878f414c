import { afterAll, describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readRelayedOrigin } from "../../src/upstream/specs.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { feedOf, problemsOf, reported } from "../support/telemetry/status-report.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-chained-0123456789";
afterAll(deleteFolders);

const behind = (parent: RelayProcess, options: RelayOptions = {}): RelayOptions => ({
  ...options,
  env: { STATSIG_ENDPOINT: parent.httpUrl },
});

async function originOf(relay: RelayProcess, query = "") {
  const answer = await rawGet(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json${query}`);
  const { "x-since-time": lcut, "x-sfp-source": source, "x-sfp-confirmed-at": confirmedAt } = answer.headers;
  return { status: answer.status, lcut, source, confirmedAt: confirmedAt && String(confirmedAt) };
}

async function originOverGrpc(relay: RelayProcess) {
  using client = new GrpcClient(relay.grpcUrl);
  const { metadata } = await client.getConfigSpec({ sdkKey: KEY, version: 2 });
  const { "x-sfp-source": source, "x-sfp-confirmed-at": confirmedAt } = metadata.getMap();
  return { source, confirmedAt };
}

describe("three relays in a chain", () => {
  test("the last one reports when the first was confirmed, over HTTP and gRPC, and is not ready while that is too old", async () => {
    await using upstream = await startUpstream();
    const { lcut } = publishKey(upstream, KEY);
    await using first = await startRelayProcess({ upstream });
    await using second = await startRelayProcess(behind(first));
    const args = ["--preload-sdk-keys", KEY, "--max-staleness-in-s", "6"];
    await using third = await startManagedRelay(behind(second, { args }));
    await eventually(async () => expect((await third.get("/readyz")).status).toBe(200), { withinMs: 20_000 });
    // A no-update response advances it.
    const before = await originOf(third.relay);
    await eventually(async () =>
      expect((await originOf(third.relay)).confirmedAt).not.toBe(before.confirmedAt),
    );

    await upstream.stop();
    await eventually(() => expect(first.output()).toContain("upstream failing"));
    const known = await originOf(first);
    expect(known).toMatchObject({ status: 200, lcut: String(lcut), source: "upstream" });
    await eventually(async () => expect(await originOf(third.relay)).toEqual(known));
    await eventually(
      async () => {
        const { status, body } = await third.get("/readyz");
        expect([status, body.toString()]).toEqual([
          503,
          expect.stringContaining("not confirmed by upstream for 6 s"),
        ]);
      },
      { withinMs: 30_000 },
    );
    for (const relay of [first, second, third.relay]) {
      for (const query of ["", "?sinceTime=9999999999999"]) {
        expect((await originOf(relay, query)).confirmedAt).toBe(String(known.confirmedAt));
      }
      expect(await originOverGrpc(relay)).toEqual({
        source: "upstream",
        confirmedAt: String(known.confirmedAt),
      });
    }
    // Its own upstream responds.
    expect(third.relay.output()).not.toContain("upstream failing");

    await upstream.restart();
    const newer = publishKey(upstream, KEY, 1);
    await eventually(
      async () => {
        expect((await third.get("/readyz")).status).toBe(200);
        expect(await originOf(third.relay)).toMatchObject({ lcut: String(newer.lcut), source: "upstream" });
      },
      { withinMs: 20_000 },
    );
  }, 120_000);

  test("the last one passes on that the first has an unconfirmed version from its backup", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const cached = { cache: "local", args: ["--local-cache-path", newFolder()] } as const;
    {
      await using relay = await startRelayProcess({ ...cached, upstream });
      await originOf(relay);
      await relay.stop();
    }
    await upstream.stop();
    await using first = await startRelayProcess({ ...cached, upstream });
    expect(await originOf(first)).toMatchObject({ status: 200, source: "local", confirmedAt: undefined });
    await using second = await startRelayProcess(behind(first));
    await using third = await startManagedRelay(behind(second));
    const unconfirmed = await originOf(third.relay);
    expect(unconfirmed).toEqual(await originOf(first));
    await sleep(2_500);
    expect(await originOf(third.relay)).toEqual(unconfirmed);
    const report = await reported(third, (each) => expect(feedOf(each, KEY).state).toBe("stale"));
    expect(problemsOf(report)).toEqual([
      ["stale_feeds", "Serving stale specs: upstream has not confirmed them lately"],
    ]);
    expect(report.upstream.stale_after_s).toBe(60);
    await upstream.restart();
    await eventually(async () => expect((await originOf(third.relay)).confirmedAt).toBeDefined(), {
      withinMs: 20_000,
    });
    await reported(third, (each) => expect(each.state).toBe("ok"));
  }, 60_000);
});

test.each([304, 200])(
  "an upstream that responds %d and was confirmed in the future counts as confirmed now",
  async (code) => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const headers = { "x-sfp-source": "redis", "x-sfp-confirmed-at": "2999-01-01T00:00:00.000Z" };
    upstream.misbehave(
      {
        kind: "edit",
        edit: (right, { query }) => {
          const isPoll = code === 304 && Number(query.get("sinceTime")) > 0;
          return {
            ...right,
            ...(isPoll && { status: 304, body: Buffer.alloc(0) }),
            headers: { ...right.headers, ...headers },
          };
        },
      },
      forKey(KEY),
    );
    await using relay = await startRelayProcess({ upstream });
    const first = await originOf(relay);
    expect(first.source).toBe("redis");
    expect(Date.now() - Date.parse(String(first.confirmedAt))).toBeWithin(-10, 5_000);
    await eventually(async () => expect((await originOf(relay)).confirmedAt).not.toBe(first.confirmedAt));
  },
);

describe("the headers of an upstream relay", () => {
  const clock = new FakeClock(Date.parse("2026-03-01T12:00:00.500Z"));
  const read = (headers: Readonly<Record<string, string>>) => {
    const origin = readRelayedOrigin(new Headers(headers), clock);
    if (origin === undefined) return undefined;
    const { source, confirmed } = origin;
    return [
      source,
      confirmed && clock.elapsed() - confirmed.elapsed,
      confirmed && clock.now() - confirmed.at,
    ];
  };
  const SAME = "Sun, 01 Mar 2026 12:00:00 GMT";
  const minuteAgo = "2026-03-01T11:59:00.500Z";

  test.each([
    ["nothing: Statsig, or the original proxy", {}, undefined],
    ["a minute ago", { "x-sfp-source": "local", "x-sfp-confirmed-at": minuteAgo }, ["local", 60_000, 60_000]],
    [
      "the same, with its clock",
      { "x-sfp-confirmed-at": minuteAgo, date: SAME },
      ["upstream", 60_000, 60_000],
    ],
    [
      "in another time zone",
      { "x-sfp-confirmed-at": "2026-03-01T13:59:00.5+02:00" },
      ["upstream", 60_000, 60_000],
    ],
    ["a source alone: not confirmed", { "x-sfp-source": "redis" }, ["redis", undefined, undefined]],
    ["an unknown source", { "x-sfp-source": "azure" }, ["upstream", undefined, undefined]],
    ["a time in the future", { "x-sfp-confirmed-at": "2026-03-01T12:00:09Z" }, ["upstream", 0, 0]],
    // Ten minutes behind ours: by that clock it was one minute ago, or up to a second more.
    [
      "a clock that is behind",
      { "x-sfp-confirmed-at": "2026-03-01T11:49:00Z", date: "Sun, 01 Mar 2026 11:50:00 GMT" },
      ["upstream", 61_000, 61_000],
    ],
    [
      "a clock that is ahead",
      { "x-sfp-confirmed-at": "2026-03-01T12:09:00Z", date: "Sun, 01 Mar 2026 12:10:00 GMT" },
      ["upstream", 61_000, 61_000],
    ],
    [
      "a clock that is behind, and a time in its future",
      { "x-sfp-confirmed-at": "2026-03-01T11:59:59Z", date: "Sun, 01 Mar 2026 11:50:00 GMT" },
      ["upstream", 0, 0],
    ],
    [
      "a long time ago",
      { "x-sfp-confirmed-at": "1970-01-01T00:00:00Z" },
      ["upstream", clock.now(), clock.now()],
    ],
    ...[
      "",
      "yesterday",
      "1772366340500",
      `2026-03-01T11:59:00.${"0".repeat(5_000)}Z`,
      "2026-13-41T99:99:99Z",
    ].map(
      (text) =>
        [
          `no time: ${text.slice(0, 30)}`,
          { "x-sfp-source": "upstream", "x-sfp-confirmed-at": text },
          ["upstream", undefined, undefined],
        ] as const,
    ),
  ])("%s", (_, headers, expected) => {
    expect(read(headers as Record<string, string>)).toEqual(expected as ReturnType<typeof read>);
  });
});
