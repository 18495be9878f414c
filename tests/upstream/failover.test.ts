import { describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startTwoEndpoints } from "../support/upstream/two-endpoints.ts";
import { body, startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-failover-0123456789";
const lcutOf = (number: number) => versionOf(KEY, number).lcut;
const hostOf = ({ url }: { readonly url: string }) => new URL(url).host;

const OUTAGES: readonly (readonly [what: string, begin: (upstream: Upstream) => unknown])[] = [
  ["refuses connections", (upstream) => upstream.stop()],
  ["answers 500", (upstream) => upstream.misbehave(status(500))],
  ["answers 429", (upstream) => upstream.misbehave(status(429, "", { "retry-after": "3600" }))],
  ["redirects", (upstream) => upstream.misbehave(status(302, "", { location: "http://other.invalid/" }))],
  ["hangs", (upstream) => upstream.misbehave({ kind: "hang" })],
  ["resets connections", (upstream) => upstream.misbehave({ kind: "reset" })],
  ["breaks off", (upstream) => upstream.misbehave({ kind: "cut", framing: "length", afterBytes: 10 })],
  [
    "breaks off in a chunk",
    (upstream) => upstream.misbehave({ kind: "cut", framing: "chunked", afterBytes: 10 }),
  ],
  ["sends garbage", (upstream) => upstream.misbehave(body("<html>Sign in to the hotel</html>"))],
];

describe("if the preferred endpoint", () => {
  test.each(OUTAGES)(
    "%s, polls and first requests go to the other one",
    async (_what, begin) => {
      const args = ["--http-connect-timeout-in-s", "4", "--http-read-timeout-in-s", "4"];
      await using at = await startTwoEndpoints({ args });
      at.publish(KEY);
      at.publish("secret-second");
      expect((await at.ask(KEY)).status).toBe(200);

      await begin(at.preferred);
      at.publish(KEY, 1);
      await at.serves(KEY, lcutOf(1));
      const { headers } = await at.ask(KEY);
      expect(headers["x-sfp-source"]).toBe(`upstream; host=${hostOf(at.other)}`);
      expect((await at.ask("secret-second")).status).toBe(200);
      // The polls succeed, so that nothing is reported but the endpoint itself.
      expect(at.lines("upstream failing")).toEqual([]);
      expect((await at.managed.status()).upstream).toMatchObject({ state: "ok", failing_feeds: 0 });

      at.preferred.behave();
      await at.preferred.stop();
      await at.preferred.restart();
      at.publish(KEY, 2);
      await at.serves(KEY, lcutOf(2));
    },
    120_000,
  );

  test("fails, that is one log line and one when it is back, and the page shows which one is in use", async () => {
    await using at = await startTwoEndpoints();
    at.publish(KEY);
    await at.ask(KEY);
    await at.endpoints((preferred, other) => {
      expect(preferred).toMatchObject({ url: at.preferred.url, state: "ok", in_use: true, last_error: null });
      // It was tried although nothing is requested from it.
      expect(other).toMatchObject({ url: at.other.url, state: "ok", in_use: false });
      expect(preferred.latency_ms).toBeNumber();
    });

    await at.preferred.stop();
    await at.endpoints((preferred, other) => {
      const error = { reason: "unreachable", detail: "connection refused" };
      expect(preferred).toMatchObject({ state: "failing", in_use: false, last_error: error });
      expect(other).toMatchObject({ state: "ok", in_use: true });
    });
    const begins = await at.line("upstream endpoint failing");
    for (const field of ["cause=unreachable", `endpoint=${at.preferred.url}`, `using=${at.other.url}`])
      expect(begins).toContain(field);

    await at.preferred.restart();
    await at.endpoints((preferred) => expect(preferred).toMatchObject({ state: "ok", in_use: true }));
    const ends = await at.line("upstream endpoint works again");
    for (const field of ["for_s=", `endpoint=${at.preferred.url}`, `using=${at.preferred.url}`])
      expect(ends).toContain(field);
    // From now on it is asked again, and the other one is not.
    at.publish(KEY, 1);
    await at.serves(KEY, lcutOf(1));
    expect((await at.ask(KEY)).headers["x-sfp-source"]).toContain(hostOf(at.preferred));
    expect(await (await fetch(`${at.managed.url}/metrics`)).text()).toContain(
      `UpstreamEndpointAsked_count_total{endpoint="${hostOf(at.other)}",result="usable"}`,
    );
  }, 120_000);

  test("works, and the other one does not, that is noticed before it is needed", async () => {
    await using at = await startTwoEndpoints();
    at.publish(KEY);
    await at.other.stop();
    await at.ask(KEY);
    await at.endpoints((preferred, other) => {
      expect(preferred).toMatchObject({ state: "ok", in_use: true });
      expect(other).toMatchObject({ state: "failing", in_use: false, last_success_at: null });
    });
    const line = await at.line("upstream endpoint failing");
    expect(line).toContain(`endpoint=${at.other.url} using=${at.preferred.url}`);
  }, 120_000);

  test("is down, its polls are few", async () => {
    await using at = await startTwoEndpoints();
    const keys = Array.from({ length: 20 }, (_, number) => `secret-many-${number}`);
    for (const key of keys) at.publish(key);
    at.preferred.misbehave(status(503));
    await Promise.all(keys.map((key) => at.ask(key)));
    await at.endpoints((preferred) => expect(preferred.state).toBe("failing"));
    at.preferred.forgetRequests();
    at.other.forgetRequests();
    await eventually(() => expect(at.other.requests.length).toBeGreaterThan(5 * keys.length), {
      withinMs: 30_000,
    });
    expect(at.preferred.requests.length).toBeLessThan(keys.length);
  }, 120_000);

  test("is silent, a first request is answered by the other one before the time limit", async () => {
    await using at = await startTwoEndpoints({ args: ["--http-read-timeout-in-s", "3600"] });
    at.publish(KEY);
    at.preferred.misbehave({ kind: "hang" });
    const answer = await at.ask(KEY);
    expect([answer.status, answer.headers["x-sfp-source"]]).toEqual([
      200,
      `upstream; host=${hostOf(at.other)}`,
    ]);
  }, 60_000);

  test("and the other one fail, the log names both, and the last version is served", async () => {
    await using at = await startTwoEndpoints();
    at.publish(KEY);
    await at.ask(KEY);
    await at.preferred.stop();
    at.other.misbehave(status(502));
    const line = await at.line("upstream failing, serving last known config");
    // Usually the connection is refused, but it is cut if a request is under way when the server stops.
    const detail = `${hostOf(at.preferred)}: [^;]*connection[^;]*; ${hostOf(at.other)}: upstream answered 502`;
    expect(line).toMatch(new RegExp(detail));
    expect((await at.ask(KEY)).status).toBe(200);
    at.other.behave();
    at.publish(KEY, 1);
    await at.serves(KEY, lcutOf(1));
  }, 120_000);
});

describe("401 of", () => {
  const args = ["--clear-datastore-on-unauthorized"];

  test("the other endpoint drops nothing, and rejects no client", async () => {
    await using at = await startTwoEndpoints({ args });
    publishKey(at.preferred, KEY);
    await at.ask(KEY);
    await at.preferred.stop();
    await eventually(() => expect(at.lines("counts only from the first endpoint")).not.toEqual([]), {
      withinMs: 20_000,
    });
    expect((await at.ask(KEY)).status).toBe(200);
    // The preferred one may accept this key.
    expect((await at.ask("secret-unknown")).status).toBe(503);
    await at.preferred.restart();
    publishKey(at.preferred, KEY, 1);
    await at.serves(KEY, lcutOf(1));
  }, 120_000);

  test("the preferred one counts, although the other one accepts the key", async () => {
    await using at = await startTwoEndpoints({ args });
    at.publish(KEY);
    await at.ask(KEY);
    at.preferred.forget(KEY);
    await eventually(async () => expect((await at.ask(KEY)).status).toBe(401), { withinMs: 20_000 });
  }, 120_000);
});

test("a relay of another region as second endpoint, which lags behind: no error, and no version goes back", async () => {
  await using cdn = await startUpstream();
  await using regional = await startUpstream();
  publishKey(cdn, KEY, 2);
  publishKey(regional, KEY, 1);
  await using region = await startRelayProcess({ upstream: regional });
  const env = { STATSIG_ENDPOINT: `${cdn.url},${region.httpUrl}` };
  await using relay = await startRelayProcess({ env });
  const read = () => fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json`);
  const since = async () => (await read()).headers.get("x-since-time");
  // On a slow machine, the region may be asked as well, and be faster.
  await eventually(async () => expect(await since()).toBe(String(lcutOf(2))), { withinMs: 20_000 });
  await cdn.stop();
  const confirmedAt = async () => (await read()).headers.get("x-sfp-confirmed-at");
  await eventually(() => expect(relay.output()).toContain("upstream endpoint failing"), { withinMs: 20_000 });
  const last = await confirmedAt();
  const polled = regional.requests.length;
  await eventually(() => expect(regional.requests.length).toBeGreaterThan(polled + 3), { withinMs: 20_000 });
  // What the region says of its older version says nothing of the newer one.
  expect([await since(), await confirmedAt()]).toEqual([String(lcutOf(2)), last]);
  expect(relay.output()).not.toContain("upstream failing");

  publishKey(regional, KEY, 3);
  await eventually(async () => expect(await since()).toBe(String(lcutOf(3))), { withinMs: 20_000 });
  using client = new GrpcClient(relay.grpcUrl);
  const { metadata } = await client.getConfigSpec({ sdkKey: KEY, version: 2 });
  expect(metadata.get("x-sfp-source")).toEqual([`upstream; host=${new URL(region.httpUrl).host}`]);
  // A relay behind this one reads the first word.
  await using behind = await startRelayProcess({ env: { STATSIG_ENDPOINT: relay.httpUrl } });
  const answer = await fetch(`${behind.httpUrl}/v2/download_config_specs/${KEY}.json`);
  expect(answer.headers.get("x-sfp-source")).toBe("upstream");
}, 120_000);

test("ID lists fail over as well", async () => {
  await using at = await startTwoEndpoints();
  const lists = {
    one: { name: "one", url: "http://files.invalid/1", fileID: "1", size: 2, creationTime: 1 },
  };
  at.other.misbehave(body(JSON.stringify(lists)), { when: ({ path }) => path.includes("/get_id_lists") });
  await at.preferred.stop();
  const url = `${at.managed.relay.httpUrl}/v1/get_id_lists`;
  const answer = await fetch(url, { method: "POST", headers: { "statsig-api-key": KEY }, body: "{}" });
  expect(answer.status).toBe(200);
  expect(Object.keys((await answer.json()) as object)).toEqual(["one"]);
}, 60_000);
