import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { status as grpcStatus } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { failureOf } from "../support/common/failure.ts";
import { eventually, within } from "../support/common/wait.ts";
import { idListsOf, KeyFile, sendEvents, specsOf } from "../support/relay/access.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const [LISTED, OTHER, LATER] = [
  "secret-listed-0123456789",
  "secret-other-0123456789",
  "secret-later-0123456789",
];

const start = (upstream: Upstream, list: string, ...args: string[]): Promise<RelayProcess> =>
  startRelayProcess({
    upstream,
    args: ["--allowed-sdk-keys", list, ...args],
    env: { LOG_EVENT_STATSIG_ENDPOINT: upstream.url },
  });

async function upstreamWith(...keys: readonly string[]): Promise<Upstream> {
  const upstream = await startUpstream();
  for (const key of keys) publishKey(upstream, key);
  return upstream;
}

/** All requests with this key, for any resource. */
const requestsFor = (upstream: Upstream, key: string) =>
  upstream.requests.filter(({ path, headers }) => path.includes(key) || headers["statsig-api-key"] === key);

const isUnauthorized = async (answer: Response): Promise<void> => {
  expect(answer.status).toBe(401);
  expect(answer.headers.get("content-type")).toStartWith("text/plain");
  expect(await answer.text()).toBe("Unauthorized");
};

describe("with --allowed-sdk-keys", () => {
  test("serves a listed key on every route, and refuses any other key without asking upstream", async () => {
    await using upstream = await upstreamWith(LISTED, OTHER);
    await using relay = await start(upstream, `${LISTED},${LATER}`);
    for (const answer of [specsOf(relay, LISTED, "v1"), specsOf(relay, LISTED), idListsOf(relay, LISTED)]) {
      expect((await answer).status).toBe(200);
    }
    expect((await sendEvents(relay, LISTED)).status).toBe(202);
    for (let times = 0; times < 2; times++) {
      await isUnauthorized(await specsOf(relay, OTHER, "v1"));
      await isUnauthorized(await specsOf(relay, OTHER));
      await isUnauthorized(await idListsOf(relay, OTHER));
      await isUnauthorized(await sendEvents(relay, OTHER));
    }
    expect(requestsFor(upstream, OTHER)).toEqual([]);
    await eventually(() => expect(relay.output()).toContain("rejected SDK key: not in --allowed-sdk-keys"));
    expect(relay.output()).not.toMatch(/secret-(listed|other|oth)/);
  });

  test("refuses another key over gRPC with PERMISSION_DENIED, unary and streamed", async () => {
    await using upstream = await upstreamWith(LISTED, OTHER);
    await using relay = await start(upstream, LISTED);
    using client = new GrpcClient(relay.grpcUrl);
    const refused = { code: grpcStatus.PERMISSION_DENIED, details: "Unauthorized" };
    expect(await failureOf(client.getConfigSpec({ sdkKey: OTHER }))).toMatchObject(refused);
    expect(await client.streamConfigSpec({ sdkKey: OTHER }).status()).toMatchObject(refused);
    expect((await client.getConfigSpec({ sdkKey: LISTED })).message.lastUpdated).toBeGreaterThan(0);
    expect(requestsFor(upstream, OTHER)).toEqual([]);
  });

  test("refuses log events of another key before their body has arrived", async () => {
    await using upstream = await upstreamWith();
    await using relay = await start(upstream, LISTED);
    const headers = { "statsig-api-key": OTHER, "content-length": "4000000" };
    const posting = request(`${relay.httpUrl}/v1/log_event`, { method: "POST", headers });
    posting.on("error", () => undefined);
    posting.flushHeaders();
    const [answer] = (await within(once(posting, "response"), 20_000, "an answer")) as [IncomingMessage];
    expect(answer.statusCode).toBe(401);
    posting.destroy();
  });
});

describe.each([
  ["a rename", false],
  ["a swapped symlink, as of Kubernetes", true],
])("a file of allowed keys that changes by %s", (_, mounted) => {
  test("stops serving a removed key, and serves an added one", async () => {
    await using upstream = await upstreamWith(LISTED, LATER, OTHER);
    using file = new KeyFile([LISTED, OTHER], mounted);
    await using relay = await start(upstream, `@${file.path}`);
    using client = new GrpcClient(relay.grpcUrl);
    const [ended, stays] = [LISTED, OTHER].map((sdkKey) => client.streamConfigSpec({ sdkKey }));
    await Promise.all([ended?.next(), stays?.next(), specsOf(relay, LISTED), idListsOf(relay, LISTED)]);
    await isUnauthorized(await specsOf(relay, LATER));
    file.write(`${OTHER}\n${LATER}\n`);
    const refused = { code: grpcStatus.PERMISSION_DENIED, details: "Unauthorized" };
    expect(await ended?.status(20_000)).toMatchObject(refused);
    // HTTP is served by another thread, which learns of it at about the same time.
    await eventually(async () => await isUnauthorized(await specsOf(relay, LISTED)));
    await isUnauthorized(await idListsOf(relay, LISTED));
    expect((await specsOf(relay, LATER)).status).toBe(200);
    await eventually(() => expect(relay.output()).toContain("allowed SDK keys reloaded keys=2 removed=1"));
    publishKey(upstream, OTHER, 1);
    expect((await stays?.next(20_000))?.lastUpdated).toBeGreaterThan(0);
  });
});

describe("a file of allowed keys", () => {
  test("a removed preloaded key is neither polled nor waited for until it is listed again", async () => {
    await using upstream = await upstreamWith(LISTED, OTHER);
    using file = new KeyFile([LISTED, OTHER]);
    await using relay = await start(upstream, `@${file.path}`, "--preload-sdk-keys", `${LISTED},${OTHER}`);
    await eventually(async () => expect((await specsOf(relay, LISTED)).status).toBe(200));
    file.write(OTHER);
    await eventually(async () => await isUnauthorized(await specsOf(relay, LISTED)));
    /** Resolves after this number of further requests for the key. */
    const pollsOf = (sdkKey: string, more: number) => {
      const before = requestsFor(upstream, sdkKey).length;
      return eventually(() =>
        expect(requestsFor(upstream, sdkKey).length).toBeGreaterThanOrEqual(before + more),
      );
    };
    // A request that was sent before has arrived when the other key is polled next.
    await pollsOf(OTHER, 1);
    upstream.forgetRequests();
    await pollsOf(OTHER, 3);
    expect(requestsFor(upstream, LISTED)).toEqual([]);
    expect((await fetch(`${relay.httpUrl}/v1/ready`)).status).toBe(200);
    file.write(`${LISTED} ${OTHER}`);
    await eventually(async () => expect((await specsOf(relay, LISTED)).status).toBe(200));
  });

  test("a key that is removed during its request to upstream is not served when the response arrives", async () => {
    await using upstream = await upstreamWith(LISTED, OTHER);
    const response = Promise.withResolvers<void>();
    upstream.misbehave(
      { kind: "none" },
      { until: response.promise, when: ({ path }) => path.includes(LISTED) },
    );
    using file = new KeyFile([LISTED, OTHER]);
    await using relay = await start(upstream, `@${file.path}`);
    const asked = specsOf(relay, LISTED);
    await eventually(() => expect(requestsFor(upstream, LISTED)).toHaveLength(1));
    file.write(OTHER);
    await eventually(() => expect(relay.output()).toContain("allowed SDK keys reloaded"));
    response.resolve();
    await isUnauthorized(await asked);
    await isUnauthorized(await specsOf(relay, LISTED));
    upstream.behave();
    file.write(LISTED);
    await eventually(async () => expect((await specsOf(relay, LISTED)).status).toBe(200));
  });

  test("a missing, empty or malformed file changes nothing, and is reported once", async () => {
    await using upstream = await upstreamWith(LISTED);
    using file = new KeyFile([LISTED]);
    await using relay = await start(upstream, `@${file.path}`);
    expect((await specsOf(relay, LISTED)).status).toBe(200);
    const complaint = /WARN +invalid list of allowed SDK keys.* reason=.*/g;
    const bad = [
      [() => file.remove(), "no such file or directory"],
      [() => file.write(" \n"), "the list has no SDK key"],
      [() => file.write(`${OTHER}\nsecret with spaces and ünusual letters`), "entry 6 is not an SDK key"],
    ] as const;
    for (const [index, [spoil, reason]] of bad.entries()) {
      spoil();
      await eventually(() => expect(relay.output().match(complaint)?.[index]).toContain(reason));
      expect((await specsOf(relay, LISTED)).status).toBe(200);
      await isUnauthorized(await specsOf(relay, OTHER));
    }
    file.write(OTHER);
    await eventually(async () => await isUnauthorized(await specsOf(relay, LISTED)));
    expect(relay.output().match(complaint)).toHaveLength(bad.length);
    expect(relay.output()).not.toMatch(/secret-(listed|other|oth)/);
  });
});
