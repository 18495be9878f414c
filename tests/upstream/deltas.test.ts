import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { applyEdits, newProject } from "../support/deltas/edits.ts";
import { bodyOf, type ChecksumStyle, type ProjectVersion } from "../support/deltas/project-version.ts";
import { deltaBetween } from "../support/deltas/relay-chain.ts";
import { SdkSpecs } from "../support/deltas/sdk-specs.ts";
import { type Prepared, prepareVersion } from "../support/deltas/version-chain.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { CodingTap, type TappedAnswer } from "../support/upstream/coding-tap.ts";
import { djb2 } from "../support/upstream/payloads.ts";
import { forKey } from "../support/upstream/published-key.ts";
import { SDK_KEY } from "../support/upstream/raw-payloads.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";
import { answer } from "../support/upstream/upstream-request.ts";

const KEY = SDK_KEY;
const PROTO = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };
const DELTAS = "--deltas-background-loop-enabled";
const PATIENCE = { withinMs: 20_000 };

const folder = mkdtempSync(join(tmpdir(), "sfp-deltas-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Returns versions of a project of one key, each with another content of one gate. */
function versionsOf(count: number, checksumStyle: ChecksumStyle = "base64", perKind = 40) {
  const rest = { experiment_to_layer: {}, hashed_sdk_key_used: djb2(KEY) };
  const versions: ProjectVersion[] = [{ ...newProject({ perKind }), rest, checksumStyle, checksum: "0" }];
  for (let number = 1; number < count; number++) {
    const last = versions.at(-1) ?? newProject();
    const changed = applyEdits(last, [{ kind: "change", at: number, content: number }]);
    versions.push({ ...changed, time: last.time + 60_000, checksum: String(number) });
  }
  return versions;
}

const publish = (upstream: Upstream, version: ProjectVersion) =>
  upstream.publishProto(KEY, bodyOf(version), version.time);

const ask = (relay: RelayProcess, query = "") =>
  rawGet(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json${query}`, PROTO);

/** Waits until the relay serves this version, whole. */
async function expectServed(relay: RelayProcess, version: ProjectVersion): Promise<void> {
  const { body } = await eventually(async () => {
    const response = await ask(relay);
    expect(response.headers["x-since-time"]).toBe(String(version.time));
    return response;
  }, PATIENCE);
  const [served, expected] = [body, bodyOf(version)].map((bytes) => SdkSpecs.fromPayload(bytes));
  expect(served?.entities()).toEqual(expected?.entities() ?? {});
  expect(served?.topLevel).toEqual(expected?.topLevel ?? new Uint8Array());
}

const behind = (url: string, options: RelayOptions = {}) =>
  startRelayProcess({ ...options, env: { STATSIG_ENDPOINT: url } });

const isVersion = ({ url, headers }: TappedAnswer) =>
  url.includes("supports_proto=true") && headers["content-type"] === "application/octet-stream";

describe("a relay behind another relay", () => {
  test("gets updates of a kilobyte, and serves and backs up whole versions", async () => {
    await using upstream = await startUpstream();
    const versions = versionsOf(6);
    const [first, ...updates] = versions;
    const last = versions.at(-1);
    if (first === undefined || last === undefined) throw new Error("there are no versions");
    publish(upstream, first);
    await using front = await startRelayProcess({ upstream });
    await using tap = await CodingTap.start(front.httpUrl, "statsig-br, gzip");
    const options: RelayOptions = { cache: "local", args: [DELTAS, "--local-cache-path", folder] };
    await using relay = await behind(tap.url, options);
    await expectServed(relay, first);
    for (const update of updates) {
      publish(upstream, update);
      await expectServed(relay, update);
    }
    const bodies = tap.answers.filter(isVersion);
    expect(bodies.map(({ headers }) => headers["x-deltas-used"])).toEqual([
      undefined,
      ...updates.map(() => "true"),
    ]);
    const [wholeBytes = 0, ...deltaBytes] = bodies.map(({ bytes }) => bytes);
    expect(wholeBytes).toBeGreaterThan(10 * 1024);
    expect(Math.max(...deltaBytes)).toBeLessThan(1024);
    // Its own clients get deltas as well.
    const { lcut: sinceTime, checksum } = { lcut: first.time, checksum: first.checksum };
    const query = `?accept_deltas=true&sinceTime=${sinceTime}&checksum=${checksum}`;
    expect((await ask(relay, query)).headers).toMatchObject({ "x-deltas-used": "true" });
    await eventually(() => expect(relay.output()).toMatch(/config specs updated .*delta_bytes=\d+/));

    await relay.kill();
    await front.stop();
    await using restarted = await behind(tap.url, options);
    await expectServed(restarted, last);
  }, 120_000);

  test("gets whole versions without the option, and from a relay without deltas", async () => {
    await using upstream = await startUpstream();
    const [first, second] = versionsOf(2);
    if (first === undefined || second === undefined) throw new Error("there are no versions");
    publish(upstream, first);
    await using front = await startRelayProcess({ upstream });
    await using off = await startRelayProcess({ upstream, args: ["--delta-history=0"] });
    await using tap = await CodingTap.start(front.httpUrl, "statsig-br, gzip");
    await using tapOfOff = await CodingTap.start(off.httpUrl, "statsig-br, gzip");
    await using plain = await behind(tap.url);
    await using asking = await behind(tapOfOff.url, { args: [DELTAS] });
    for (const relay of [plain, asking]) await expectServed(relay, first);
    publish(upstream, second);
    for (const relay of [plain, asking]) await expectServed(relay, second);
    const answers = [...tap.answers, ...tapOfOff.answers].filter(isVersion);
    expect(answers.filter(({ headers }) => "x-deltas-used" in headers)).toEqual([]);
    expect(tap.answers.filter(({ url }) => url.includes("accept_deltas"))).toEqual([]);
    expect(tapOfOff.answers.filter(({ url }) => url.includes("accept_deltas=true"))).not.toEqual([]);
    expect(asking.output()).not.toContain("delta rejected");
  }, 60_000);
});

describe("an upstream that sends deltas without a digest", () => {
  /** Starts a relay that holds the first version, before an upstream that sends this delta for each request that accepts one. */
  async function startBehind(
    upstream: Upstream,
    checksumStyle: ChecksumStyle,
    change?: (delta: Uint8Array) => Uint8Array,
  ) {
    const [first, second] = versionsOf(2, checksumStyle, 10);
    if (first === undefined || second === undefined) throw new Error("there are no versions");
    const held: Prepared = await prepareVersion(first, { depth: 8, priors: [] });
    const next = await prepareVersion(second, { depth: 8, priors: [held] });
    const delta = deltaBetween(held.payload, next.payload);
    if (delta === undefined) throw new Error("there is no delta");
    publish(upstream, first);
    const relay = await behind(upstream.url, { args: [DELTAS] });
    await expectServed(relay, first);
    publish(upstream, second);
    upstream.forgetRequests();
    const sent = answer(200, change?.(delta.bytes) ?? delta.bytes, {
      "content-type": "application/octet-stream",
      "content-encoding": "statsig-br",
      "x-since-time": String(second.time),
      "x-deltas-used": "true",
    });
    const isAsked = (query: URLSearchParams) =>
      query.get("accept_deltas") === "true" &&
      query.get("sinceTime") === String(first.time) &&
      query.get("checksum") === first.checksum;
    upstream.misbehave(
      { kind: "edit", edit: () => sent },
      { when: (request) => forKey(KEY).when(request) && isAsked(request.query) },
    );
    await expectServed(relay, second);
    return { relay, requests: () => upstream.requests.filter(({ path }) => path.endsWith(`/${KEY}.json`)) };
  }

  test("is believed if all checksums are numbers and add up", async () => {
    await using upstream = await startUpstream();
    const { relay, requests } = await startBehind(upstream, "u32");
    await using _relay = relay;
    await eventually(() => expect(relay.output()).toMatch(/config specs updated .*delta_bytes=\d+/));
    expect(requests().filter(({ query }) => !query.has("accept_deltas"))).toEqual([]);
  }, 60_000);

  test.each([
    ["whose checksums prove nothing", "base64", undefined, "the result cannot be verified"],
    ["that is damaged", "u32", (delta: Uint8Array) => delta.subarray(0, -5), "does not decode as statsig-br"],
  ] as const)(
    "%s is asked for the whole version at once, and for deltas no more",
    async (_, style, change, detail) => {
      await using upstream = await startUpstream();
      const { relay, requests } = await startBehind(upstream, style, change);
      await using _relay = relay;
      await eventually(() => {
        expect(relay.output()).toContain("delta rejected, fetching whole config specs");
        expect(relay.output()).toContain(detail);
      });
      expect(relay.output()).not.toContain("upstream failing");
      await eventually(() => expect(requests().length).toBeGreaterThan(4), PATIENCE);
      const accepting = requests().map(({ query }) => query.has("accept_deltas"));
      const at = accepting.indexOf(false);
      expect(accepting.slice(at).includes(true)).toBeFalse();
    },
    60_000,
  );
});
