import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import type { StatusReport } from "../../src/telemetry/status/schema.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { applyEdits, newProject, smallEdit, withGates } from "../support/deltas/edits.ts";
import {
  bodyOf,
  type ChecksumStyle,
  type ProjectVersion,
  withWrongSums,
} from "../support/deltas/project-version.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { ClientCertificates, startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import type { SdkProcess } from "../support/sdks/sdk-process.ts";
import { CodingTap } from "../support/upstream/coding-tap.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const CODINGS = "statsig-br, gzip, deflate, br";
const USERS = ["ann@one.example", "bob@two.example", "eve@three.example"];

/** The same versions in every run. */
const SEED = 20_260_101;

/** Returns versions of a generated project. Each differs from the one before in a few places. */
function projectVersions(
  count: number,
  checksumStyle: ChecksumStyle,
  seed = SEED,
): readonly ProjectVersion[] {
  const edits = fc.sample(fc.array(smallEdit, { minLength: 1, maxLength: 4 }), { seed, numRuns: count - 1 });
  const versions: ProjectVersion[] = [{ ...newProject(), checksumStyle }];
  for (const [at, each] of edits.entries()) {
    const last = versions[at] ?? newProject();
    // Such a checksum must be encoded in a URL.
    versions.push({
      ...withGates(applyEdits(last, each)),
      time: last.time + 1_000,
      checksum: `${at}+/${seed}==`,
    });
  }
  return versions;
}

const publish = (upstream: Upstream, sdkKey: string, version: ProjectVersion): void =>
  upstream.publishProto(sdkKey, bodyOf(version), version.time);

const deltasOf = ({ answers }: CodingTap): number =>
  answers.filter(({ headers }) => headers["x-deltas-used"] === "true").length;

/** Returns how many deltas the relay has sent, over all protocols. */
async function sentDeltas(relay: RelayProcess): Promise<number> {
  const { body } = await rawGet(`${relay.urlOf("management")}/status.json`);
  return (JSON.parse(body.toString()) as StatusReport).traffic.deltas.sent;
}

/** Waits until the relay serves this version. */
const served = (relay: RelayProcess, sdkKey: string, { time }: ProjectVersion): Promise<void> =>
  eventually(async () => {
    const url = `${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json?supports_proto=true`;
    const { headers } = await rawGet(url, { "accept-encoding": CODINGS });
    expect(headers["x-since-time"]).toBe(String(time));
  });

interface Setup extends AsyncDisposable {
  readonly upstream: Upstream;
  readonly relay: RelayProcess;
  readonly pki: ClientCertificates;
  /** Starts clients without deltas that read from upstream. */
  readonly reference: SdkProcess;
}

async function startSetup(): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const pki = stack.use(new ClientCertificates());
  const server = pki.authority.issue();
  const args = ["--enforce-tls", "false", "--management-port", String(await freePort())];
  const relay = stack.use(await startRelayWithTls({ upstream, server, args }));
  const ownKey = "secret-reference";
  publish(upstream, ownKey, newProject());
  const reference = stack.use(await startCoreSdk({ sdkKey: ownKey, httpUrl: upstream.url }));
  const owned = stack.move();
  return { upstream, relay, pki, reference, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const startFollower = (sdkKey: string, httpUrl: string, options: object = {}): Promise<SdkProcess> =>
  startCoreSdk({ sdkKey, httpUrl, options: { enableDcsDeltas: true, ...options } });

describeWith("node", "openssl")("deltas: statsig-node-core", () => {
  let setup: Setup;
  beforeAll(async () => {
    setup = await startSetup();
  });
  afterAll(() => setup[Symbol.asyncDispose]());

  /** Waits until the SDK evaluates all as a new client does that gets the whole payload of this version from upstream. */
  async function evaluatesAsFresh(sdk: SdkProcess, sdkKey: string, { time }: ProjectVersion): Promise<void> {
    const expected = await setup.reference.fresh(sdkKey, USERS[0] ?? "");
    expect(expected).toMatchObject({ time });
    await eventually(async () => expect(await sdk.all(USERS[0] ?? "")).toEqual(expected), {
      withinMs: 20_000,
      everyMs: 50,
    });
    for (const user of USERS.slice(1))
      expect(await sdk.all(user)).toEqual(await setup.reference.fresh(sdkKey, user));
  }

  /** Publishes each version once the SDK has the one before. */
  async function follow(sdk: SdkProcess, sdkKey: string, versions: readonly ProjectVersion[]): Promise<void> {
    for (const version of versions) {
      publish(setup.upstream, sdkKey, version);
      await evaluatesAsFresh(sdk, sdkKey, version);
    }
  }

  test("evaluates 50 versions as new clients do, over HTTP/1.1 and over HTTP/2 with TLS", async () => {
    const STYLES = ["base64", "u32", "odd", "base64", "u32"] as const;
    const { upstream, relay, pki } = setup;
    await using tap = await CodingTap.start(relay.httpUrl, CODINGS);
    const followPart = async (part: number, style: ChecksumStyle) => {
      const sdkKey = `secret-follows-${part}`;
      const [first = newProject(), ...updates] = projectVersions(51, style).slice(10 * part, 10 * part + 11);
      publish(upstream, sdkKey, first);
      const isTls = part === STYLES.length - 1;
      const proxyConfig = { caCertPath: pki.authority.caPath };
      await using sdk = isTls
        ? await startFollower(sdkKey, relay.urlOf("https"), { proxyConfig })
        : await startFollower(sdkKey, tap.url);
      expect(sdk.initialised).toEqual({ ok: true });
      await follow(sdk, sdkKey, updates);
      return updates.length;
    };
    const followed = await Promise.all(STYLES.map((style, part) => followPart(part, style)));
    expect(followed).toEqual([10, 10, 10, 10, 10]);
    expect(deltasOf(tap)).toBeGreaterThan(32);
    await eventually(async () => expect(await sentDeltas(relay)).toBeGreaterThan(deltasOf(tap) + 7));
  }, 150_000);

  test("gets one delta after a sleep of five versions", async () => {
    const { upstream, relay } = setup;
    const sdkKey = "secret-sleeps";
    const [first = newProject(), ...missed] = projectVersions(6, "u32", SEED + 1);
    publish(upstream, sdkKey, first);
    await using tap = await CodingTap.start(relay.httpUrl, CODINGS);
    await using sdk = await startFollower(sdkKey, tap.url);
    sdk.pause();
    // What the SDK had asked before is answered by now.
    await served(relay, sdkKey, first);
    for (const version of missed) {
      publish(upstream, sdkKey, version);
      await served(relay, sdkKey, version);
    }
    sdk.resume();
    await evaluatesAsFresh(sdk, sdkKey, missed.at(-1) ?? first);
    expect(deltasOf(tap)).toBe(1);
  }, 90_000);

  test("gets the whole payload from a relay that does not know its version, and deltas afterwards", async () => {
    const { upstream } = setup;
    const sdkKey = "secret-restart";
    const [first = newProject(), second = first, third = first] = projectVersions(3, "base64", SEED + 2);
    publish(upstream, sdkKey, first);
    const options = { upstream, httpPort: await freePort() };
    await using before = await startRelayProcess(options);
    await using tap = await CodingTap.start(before.httpUrl, CODINGS);
    await using sdk = await startFollower(sdkKey, tap.url);
    await before.kill();
    publish(upstream, sdkKey, second);
    await using _after = await startRelayProcess(options);
    await evaluatesAsFresh(sdk, sdkKey, second);
    expect(deltasOf(tap)).toBe(0);
    await follow(sdk, sdkKey, [third]);
    expect(deltasOf(tap)).toBe(1);
  }, 90_000);

  test("asks without deltas after one with wrong checksums, and for deltas again after that", async () => {
    const { upstream, relay } = setup;
    const sdkKey = "secret-wrong-sums";
    const [first = newProject(), second = first, third = first] = projectVersions(3, "u32", SEED + 3);
    publish(upstream, sdkKey, first);
    let wrong = 1;
    await using tap = await CodingTap.start(relay.httpUrl, CODINGS, ({ headers }, body) =>
      headers["x-deltas-used"] === "true" && wrong-- > 0 ? withWrongSums(body) : body,
    );
    await using sdk = await startFollower(sdkKey, tap.url);
    await follow(sdk, sdkKey, [second]);
    expect(deltasOf(tap)).toBe(1);
    const at = tap.answers.findIndex(({ headers }) => headers["x-deltas-used"] === "true");
    expect(tap.answers[at + 1]?.url).not.toContain("accept_deltas");
    expect(tap.answers[at + 1]?.headers["content-encoding"]).toBe("statsig-br");
    await follow(sdk, sdkKey, [third]);
    expect(deltasOf(tap)).toBe(2);
  }, 90_000);

  describeWith("redis-server")("with relays that share Redis", () => {
    test("gets deltas whichever relay it asks", async () => {
      const { upstream } = setup;
      const sdkKey = "secret-fleet";
      const [first = newProject(), ...updates] = projectVersions(5, "base64", SEED + 4);
      publish(upstream, sdkKey, first);
      await using redis = await RedisServer.start();
      const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
      await using one = await startRelayProcess({ upstream, cache: "redis", env });
      await using other = await startRelayProcess({ upstream, cache: "redis", env });
      for (const relay of [one, other]) await served(relay, sdkKey, first);
      await using tap = await CodingTap.start([one.httpUrl, other.httpUrl], CODINGS);
      await using sdk = await startFollower(sdkKey, tap.url);
      await follow(sdk, sdkKey, updates);
      // A busy machine may keep a relay from reading in time what the other one knows.
      expect(deltasOf(tap)).toBeGreaterThanOrEqual(updates.length / 2);
    }, 90_000);
  });
});
