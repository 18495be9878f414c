import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { version } from "../../package.json";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import {
  type RelayOptions,
  type RelayProcess,
  runRelay,
  startRelayProcess,
} from "../support/relay/relay-process.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";
import type { Fault } from "../support/upstream/upstream-faults.ts";
import type { UpstreamRequest } from "../support/upstream/upstream-request.ts";
import { UPSTREAM_ROWS, type UpstreamCheck } from "./upstream.rows.ts";

const stack = new AsyncDisposableStack();
let upstream: Upstream;
/** Has the defaults. */
let relay: RelayProcess;
/** Has a connection for each request, and short limits of time. */
let strict: RelayProcess;

const start = async (options: RelayOptions = {}) => startRelayProcess({ upstream, ...options });

beforeAll(async () => {
  upstream = stack.use(await startUpstream());
  const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  relay = stack.use(await start({ env }));
  const args = ["--http-connection-pool-max-idle-per-host", "0"];
  strict = stack.use(
    await start({
      args: [...args, "--http-request-timeout-in-s", "2", "--http-read-timeout-in-s=1", "--log-level=debug"],
    }),
  );
  // At once, since they wait for polls and start no relay.
  for (const check of WAITING) {
    const checked = CHECKS[check]();
    checked.catch(() => undefined);
    running.set(check, checked);
  }
}, 30_000);

afterAll(() => stack.disposeAsync());

const running = new Map<UpstreamCheck, Promise<unknown>>();

const WAITING: readonly UpstreamCheck[] = [
  "pooled",
  "idle 0",
  "read timeout",
  "read timeout in a body",
  "request timeout",
  "204 held",
  "x-cache-hit held",
  "polls while failing",
  "Retry-After",
  "403 is polled on",
];

const specPath = (sdkKey: string) => `/v2/download_config_specs/${sdkKey}.json`;

const ask = (from: RelayProcess, sdkKey: string, query = "", headers = {}) =>
  rawGet(`${from.httpUrl}${specPath(sdkKey)}${query}`, headers);

const seen = (sdkKey: string) => upstream.requests.filter(({ path }) => path === specPath(sdkKey));

const seenAtLeast = (sdkKey: string, count: number): Promise<readonly UpstreamRequest[]> =>
  eventually(
    () => {
      expect(seen(sdkKey).length).toBeGreaterThanOrEqual(count);
      return seen(sdkKey);
    },
    { withinMs: 20_000 },
  );

const PROTO = { "accept-encoding": "statsig-br, gzip", "statsig-supports-proto": "true" };
const USER_AGENT = `statsig-forward-proxy/${version}`;

/** Publishes a key, asks for it and returns the first request for it. */
async function firstRequest(sdkKey: string, query = "", headers = {}): Promise<UpstreamRequest> {
  publishKey(upstream, sdkKey);
  expect((await ask(relay, sdkKey, query, headers)).status).toBe(200);
  const [first] = seen(sdkKey);
  if (first === undefined) throw new Error("upstream was not asked");
  return first;
}

async function idListRequest(from: RelayProcess, sdkKey: string): Promise<UpstreamRequest> {
  await rawGet(`${from.httpUrl}/v1/get_id_lists/${sdkKey}.json`);
  return eventually(() => {
    const found = upstream.requests.find(
      ({ path, headers }) => path.endsWith("/get_id_lists") && headers["statsig-api-key"] === sdkKey,
    );
    if (found === undefined) throw new Error("upstream was not asked");
    return found;
  });
}

/** Asks the strict relay for a key whose answers have this fault, and expects a failure with this reason. */
async function expectLimited(sdkKey: string, fault: Fault, detail: string): Promise<void> {
  publishKey(upstream, sdkKey);
  upstream.misbehave(fault, forKey(sdkKey));
  // Of several limits, another one may be over first while the machine stands still.
  await eventually(
    async () => {
      expect((await ask(strict, sdkKey)).status).toBe(503);
      await eventually(() => expect(strict.output()).toContain(detail), { withinMs: 1_000 });
    },
    { withinMs: 20_000 },
  );
}

/** The number of connections of the first three requests for a key. */
async function connectionsOf(from: RelayProcess, sdkKey: string): Promise<number> {
  publishKey(upstream, sdkKey);
  await ask(from, sdkKey);
  const requests = await seenAtLeast(sdkKey, 3);
  return new Set(requests.slice(0, 3).map(({ clientPort }) => clientPort)).size;
}

/** Makes upstream answer like this from now on, and expects that the cached version is still served after the next poll. */
async function expectKept(sdkKey: string, fault: Fault, polls = 1): Promise<void> {
  const { v2 } = publishKey(upstream, sdkKey);
  await ask(relay, sdkKey);
  upstream.misbehave(fault, forKey(sdkKey));
  await seenAtLeast(sdkKey, seen(sdkKey).length + polls + 1);
  expect((await ask(relay, sdkKey)).body.toString()).toBe(v2);
}

/** Doubled from the interval of 1 s, the fourth delay would be 8 s. */
async function expectNoBackoff(sdkKey: string, fault: Fault): Promise<void> {
  await expectKept(sdkKey, fault, 5);
  const times = seen(sdkKey).map(({ atMs }) => atMs);
  const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
  expect(Math.max(...gaps)).toBeLessThan(6_000);
}

const REQUEST_CHECKS = {
  "user-agent of specs": async () =>
    expect((await firstRequest("secret-agent")).headers["user-agent"]).toBe(USER_AGENT),
  "user-agent of protobuf": async () =>
    expect((await firstRequest("secret-agent-proto", "", PROTO)).headers["user-agent"]).toBe(USER_AGENT),
  "user-agent of ID lists": async () =>
    expect((await idListRequest(relay, "secret-agent-lists")).headers["user-agent"]).toBe(USER_AGENT),
  "user-agent of log events": async () => {
    const headers = { "statsig-api-key": "secret-agent-events" };
    const body = JSON.stringify({ events: [{ eventName: "a" }] });
    await fetch(`${relay.httpUrl}/v1/log_event`, { method: "POST", headers, body });
    await eventually(() =>
      expect(upstream.requests.find(({ path }) => path === "/v1/log_event")?.headers["user-agent"]).toBe(
        USER_AGENT,
      ),
    );
  },
  "x-sfp-version": async () => {
    expect((await firstRequest("secret-version")).headers["x-sfp-version"]).toBe(version);
    expect((await idListRequest(relay, "secret-version")).headers["x-sfp-version"]).toBe(version);
  },
  "no sinceTime at first": async () =>
    expect((await firstRequest("secret-since-0")).query.has("sinceTime")).toBe(false),
  sinceTime: async () => {
    const { lcut } = publishKey(upstream, "secret-since");
    await ask(relay, "secret-since");
    const [, second] = await seenAtLeast("secret-since", 2);
    expect(second?.query.get("sinceTime")).toBe(String(lcut));
  },
  checksum: async () => {
    const { v2 } = publishKey(upstream, "secret-checksum");
    await ask(relay, "secret-checksum");
    const [, second] = await seenAtLeast("secret-checksum", 2);
    expect(second?.query.get("checksum")).toBe(JSON.parse(v2).checksum);
  },
  supports_proto: async () => {
    const request = await firstRequest("secret-proto", "", PROTO);
    expect(request.query.get("supports_proto")).toBe("true");
    expect(request.headers["statsig-supports-proto"]).toBe("true");
  },
  "no accept_deltas": async () => {
    const query = "?accept_deltas=true&supports_proto=true&sinceTime=5&checksum=x";
    const request = await firstRequest("secret-deltas", query, PROTO);
    expect([...request.query.keys()]).toEqual(["supports_proto"]);
  },
  deltas: async () => {
    const sdkKey = "secret-asks-for-deltas";
    const env = { STATSIG_ENDPOINT_DELTAS: "http://127.0.0.1:9" };
    await using asking = await start({ args: ["--deltas-background-loop-enabled"], env });
    const { lcut } = publishKey(upstream, sdkKey);
    expect((await ask(asking, sdkKey, "", PROTO)).status).toBe(200);
    const [first, second] = await seenAtLeast(sdkKey, 2);
    expect(first?.query.has("accept_deltas")).toBeFalse();
    expect(second?.query.get("accept_deltas")).toBe("true");
    expect(second?.query.get("sinceTime")).toBe(String(lcut));
  },
  "ID lists": async () => {
    const { method, path, body } = await idListRequest(relay, "secret-lists");
    expect([method, path, Buffer.from(body).toString()]).toEqual(["POST", "/v1/get_id_lists", "{}"]);
  },
  "slashes of STATSIG_ENDPOINT": async () => {
    await using slashed = await startRelayProcess({ env: { STATSIG_ENDPOINT: `${upstream.url}///` } });
    expect((await idListRequest(slashed, "secret-slashes")).path).toBe("/v1/get_id_lists");
  },
  redirect: async () => {
    publishKey(upstream, "secret-target");
    upstream.misbehave(status(302, "", { location: specPath("secret-target") }), forKey("secret-moved"));
    expect((await ask(relay, "secret-moved")).status).toBe(503);
    expect(seen("secret-target")).toHaveLength(0);
  },
};

const OPTION_CHECKS = {
  pooled: async () => {
    // Requests for several keys at the same time have a connection each, and these may take turns later.
    await using pooled = await start();
    expect(await connectionsOf(pooled, "secret-pooled")).toBeLessThan(3);
  },
  "idle 0": async () => expect(await connectionsOf(strict, "secret-single")).toBe(3),
  "idle timeout 0": async () => {
    await using single = await start({ args: ["--http-connection-pool-idle-timeout-in-s", "0"] });
    expect(await connectionsOf(single, "secret-no-idle")).toBe(3);
    expect(single.output()).not.toContain("setting has no effect");
  },
  "pool notice": async () => {
    const option = "--http-connection-pool-idle-timeout-in-s";
    await using tuned = await start({ args: [option, "15"] });
    await eventually(() => expect(tuned.output()).toContain(`setting has no effect setting=${option}`));
    expect(await connectionsOf(tuned, "secret-tuned")).toBeLessThan(3);
  },
  spacing: () => expectSpaced(),
  "spacing spares clients": () => expectSparedClients(),
  "read timeout": () =>
    expectLimited("secret-silent", { kind: "hang" }, "no response from upstream within 1 s"),
  "read timeout in a body": () =>
    expectLimited("secret-stalled", { kind: "stall", afterBytes: 20 }, "no data for 1 s"),
  "request timeout": () =>
    expectLimited(
      "secret-dripping",
      { kind: "drip", chunkBytes: 1, everyMs: 100 },
      "the request took longer than 2 s (--http-request-timeout-in-s)",
    ),
  "no request timeout": async () => {
    const { stdout } = await runRelay(["http", "disabled", "--print-config"]);
    expect(stdout).toContain("# http-request-timeout-in-s is not set");
  },
  "timeout 0": async () => {
    await using zero = await start({ args: ["--http-read-timeout-in-s", "0"] });
    publishKey(upstream, "secret-zero");
    expect((await ask(zero, "secret-zero")).status).toBe(200);
    await eventually(() => expect(zero.output()).toMatch(/value out of range, replaced.*given=0 used=1/));
  },
};

/** More keys than the spacing lets through in an interval of a second. */
const SPACED_KEYS = Array.from({ length: 8 }, (_, number) => `secret-spaced-${number}`);
const SPACING_MS = 500;

const startSpaced = () => start({ args: ["--background-poll-item-spacing-ms", String(SPACING_MS)] });

async function expectSpaced(): Promise<void> {
  await using spaced = await startSpaced();
  const startedAt = performance.now();
  for (const sdkKey of SPACED_KEYS) {
    publishKey(upstream, sdkKey);
    await ask(spaced, sdkKey);
  }
  const polls = () => SPACED_KEYS.reduce((sum, sdkKey) => sum + seen(sdkKey).length - 1, 0);
  await eventually(() => expect(polls()).toBeGreaterThanOrEqual(4), { withinMs: 20_000 });
  // Without the spacing there would be 8 each second, once the first second is over.
  await sleep(1_000);
  expect(polls()).toBeLessThan((performance.now() - startedAt) / SPACING_MS + 2);
}

async function expectSparedClients(): Promise<void> {
  await using spaced = await start({ args: ["--background-poll-item-spacing-ms", "600000"] });
  for (let number = 0; number < 3; number++) {
    const sdkKey = `secret-spared-${number}`;
    publishKey(upstream, sdkKey);
    expect((await ask(spaced, sdkKey)).status).toBe(200);
  }
}

const ANSWER_CHECKS = {
  "204 held": () => expectKept("secret-204", status(204)),
  "204 new": async () => {
    upstream.misbehave(status(204), forKey("secret-204-new"));
    expect((await ask(relay, "secret-204-new")).status).toBe(503);
  },
  "x-cache-hit held": () => expectKept("secret-hit", status(200, "garbage", { "x-cache-hit": "true" })),
  "400 and the backup": async () => {
    const folder = await mkdtemp(join(tmpdir(), "sfp-drop-in-"));
    const { v2 } = publishKey(upstream, "secret-backed-up");
    const options: RelayOptions = { cache: "local", args: ["--local-cache-path", folder] };
    {
      await using first = await start(options);
      await ask(first, "secret-backed-up");
      await first.stop();
    }
    upstream.misbehave(status(404), forKey("secret-backed-up"));
    await using second = await start(options);
    expect((await ask(second, "secret-backed-up")).body.toString()).toBe(v2);
    await rm(folder, { recursive: true, force: true });
  },
  "polls while failing": () => expectNoBackoff("secret-failing", status(500)),
  "Retry-After": async () => {
    const { v2 } = publishKey(upstream, "secret-later");
    await ask(relay, "secret-later");
    upstream.misbehave(status(503, "", { "retry-after": "60" }), { ...forKey("secret-later"), times: 1 });
    await seenAtLeast("secret-later", 2);
    const before = seen("secret-later").length;
    await sleep(2_500);
    expect(seen("secret-later").length).toBeLessThanOrEqual(before + 1);
    expect((await ask(relay, "secret-later")).body.toString()).toBe(v2);
  },
  "403 is polled on": () => expectNoBackoff("secret-403", status(403)),
  "no connection": async () => {
    const own = await startUpstream();
    await using _own = own;
    await using alone = await startRelayProcess({ upstream: own });
    publishKey(own, "secret-refused");
    await own.stop();
    expect((await ask(alone, "secret-refused")).status).toBe(503);
    await own.restart();
    await eventually(async () => expect((await ask(alone, "secret-refused")).status).toBe(200));
  },
};

const CHECKS: Readonly<Record<UpstreamCheck, () => Promise<unknown>>> = {
  ...REQUEST_CHECKS,
  ...OPTION_CHECKS,
  ...ANSWER_CHECKS,
};

testRows(UPSTREAM_ROWS, async ({ check }) => {
  await (running.get(check) ?? CHECKS[check]());
});
