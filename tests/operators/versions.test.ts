import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { maskSdkKey } from "../../src/access/sdk-key.ts";
import { eventually } from "../support/common/wait.ts";
import { OPERATOR_TOKEN, type OperatedRelay, startOperatedRelay } from "../support/relay/operated-relay.ts";
import { sdkKeyOf } from "../support/specs/snapshots.ts";
import { lcutOf, publishGate } from "../support/upstream/gate-versions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-versions-0123456789";
const MASKED = maskSdkKey(sdkKeyOf(KEY));
let upstream: Upstream;
let relay: OperatedRelay;

beforeAll(async () => {
  upstream = await startUpstream();
  publishGate(upstream, KEY, { number: 1, gateValue: true });
  relay = await startOperatedRelay({ upstream, args: ["--version-history", "2"] });
  for (const number of [1, 2, 3, 4]) {
    publishGate(upstream, KEY, { number, gateValue: number % 2 === 0 });
    await eventually(async () => expect((await relay.served(KEY)).lcut).toBe(lcutOf(number)));
  }
});

afterAll(async () => {
  await relay[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

/** The lines of the audit trail. */
const actions = (): readonly string[] => relay.relay.output().match(/operator action .*/g) ?? [];

describe("the history of versions", () => {
  test.each([KEY, MASKED])("has the served version and those before it, by the key %s", async (key) => {
    const { status, body } = await relay.order(`/v1/versions?key=${encodeURIComponent(key)}`);
    expect([status, body.key, body.pin]).toEqual([200, MASKED, null]);
    expect(body.versions.map(({ lcut }: { lcut: number }) => lcut)).toEqual([2, 3, 4].map(lcutOf));
    expect(body.versions.at(-1)).toEqual({
      ...{ api_version: "v2", format: "json", lcut: lcutOf(4), served_lcut: lcutOf(4) },
      ...{
        received_at: expect.stringMatching(/Z$/),
        bytes: expect.any(Number),
        source: "upstream",
        served: true,
      },
    });
  });

  test("names what differs between the served version and the one before it, or any two", async () => {
    const { status, body } = await relay.order(`/v1/versions/diff?key=${KEY}`);
    expect([status, body.from, body.to]).toEqual([200, lcutOf(3), lcutOf(4)]);
    expect([body.gates.changed, body.dynamic_configs.changed]).toEqual([["gate_public"], ["config_public"]]);
    const other = await relay.order(`/v1/versions/diff?key=${KEY}&from=${lcutOf(2)}&to=${lcutOf(4)}`);
    expect([other.body.gates.changed, other.body.dynamic_configs.changed]).toEqual([[], ["config_public"]]);
    expect(JSON.stringify(other.body)).not.toContain("color");
  });

  test.each([
    ["/v1/versions", 400, "The query has no key: add ?key= with an SDK key, whole or masked"],
    ["/v1/versions?key=secret-unknown", 404, "This relay does not hold an SDK key of this name"],
    [`/v1/versions/diff?key=${KEY}&form=1`, 400, 'Unknown field "form" (expected "key", "from", "to")'],
    [`/v1/versions/diff?key=${KEY}&from=yesterday`, 400, '"from" is not a version: its lcut'],
    [
      `/v1/versions/diff?key=${KEY}&to=${lcutOf(1)}`,
      404,
      `this relay keeps these: ${lcutOf(2)}, ${lcutOf(3)}`,
    ],
  ])("GET %s is %d, with a sentence", async (path, status, message) => {
    const reply = await relay.order(path);
    expect([reply.status, reply.body.code]).toEqual([status, status]);
    expect(reply.body.message).toContain(message);
  });
});

describe("orders", () => {
  test.each([
    ["/v1/rollback", {}, 400, 'The field "key" is missing'],
    [
      "/v1/rollback",
      { key: KEY, too: 1 },
      400,
      'Unknown field "too" (expected "key", "to", "reason", "dry_run")',
    ],
    ["/v1/rollback", { key: KEY, to: "yesterday" }, 400, '"to" is not a version'],
    ["/v1/rollback", { key: KEY, to: 5 }, 404, "No feed of this key has a version 5; this relay keeps these"],
    ["/v1/rollback", { key: KEY, dry_run: "maybe" }, 400, '"dry_run" is neither true nor false'],
    [
      "/v1/pin",
      { key: KEY, reason: "a\nb" },
      400,
      '"reason" is not a text of at most 200 printable characters',
    ],
    ["/v1/pin", { key: KEY, reason: "x".repeat(201) }, 400, '"reason" is not a text'],
    ["/v1/pin", { key: "secret-unknown" }, 404, "This relay does not hold an SDK key of this name"],
    ["/v1/unpin", { key: KEY }, 409, "This SDK key is not pinned"],
  ])("POST %s %j is %d, with a sentence", async (path, body, status, message) => {
    const reply = await relay.order(path, body);
    expect([reply.status, reply.body.code]).toEqual([status, status]);
    expect(reply.body.message).toContain(message);
  });

  test("that are only tried show what would change, and change nothing", async () => {
    const { status, body } = await relay.order("/v1/rollback", { key: KEY, dry_run: true });
    expect([status, body.dry_run, body.from, body.to]).toEqual([200, true, lcutOf(4), lcutOf(3)]);
    expect(body.diff.gates.changed).toEqual(["gate_public"]);
    expect((await relay.order("/v1/pins")).body).toEqual({ pins: [] });
    expect((await relay.served(KEY)).lcut).toBe(lcutOf(4));
    expect(actions().filter((line) => line.includes(` to=${lcutOf(3)}`))).toEqual([]);
  });

  test("are a line of the log each, with who, what and why, and never the key", async () => {
    // As a form, as curl sends it.
    const response = await fetch(`${relay.url}/v1/rollback`, {
      method: "POST",
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
      body: new URLSearchParams({ key: MASKED, to: String(lcutOf(2)), reason: "the cart is empty" }),
    });
    expect(response.status).toBe(200);
    // The thread that serves it is another one than that which responds to the order.
    await eventually(async () =>
      expect(await relay.served(KEY)).toEqual({ lcut: lcutOf(4) + 1, color: "color 2" }),
    );
    await relay.order("/v1/unpin", { key: KEY });
    await eventually(() =>
      expect(relay.relay.output()).toContain(
        `operator action action=release sdk_key=${MASKED} client=127.0.0.1 result=done from=${lcutOf(2)} to=${lcutOf(4)}`,
      ),
    );
    expect(actions()).toContain(
      `operator action action="roll back" sdk_key=${MASKED} client=127.0.0.1 result=done ` +
        `from=${lcutOf(4)} to=${lcutOf(2)} reason="the cart is empty"`,
    );
    expect(relay.relay.output()).not.toContain(KEY);
  });

  test("need the token", async () => {
    for (const path of ["/v1/rollback", "/v1/pin", "/v1/unpin"]) {
      expect((await fetch(`${relay.url}${path}`, { method: "POST" })).status).toBe(401);
    }
    expect((await fetch(`${relay.url}/v1/pins`)).status).toBe(401);
  });
});
