import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { readBlobStorage } from "../../src/config/groups/blob-storage.ts";
import type { Feed } from "../../src/specs/feed.ts";
import type { FetchOutcome } from "../../src/specs/source.ts";
import { BlobSpecs } from "../../src/upstream/blob-specs.ts";
import { UpstreamEndpoint } from "../../src/upstream/endpoint.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { ACCOUNT_KEY, BlobStorageServer } from "../support/upstream/blob-storage.ts";

const KEY = "secret-of-a-blob";
const never = new AbortController().signal;
const feedOf = (version: Feed["version"], format: Feed["format"] = "json"): Feed => ({
  sdkKey: KEY as SdkKey,
  version,
  format,
});

class Storage implements AsyncDisposable {
  readonly server = new BlobStorageServer();
  readonly clock = new FakeClock(Date.now());
  /** Feeds that upstream was asked for. */
  readonly asked: Feed[] = [];
  /** API version, lcut and kind of each outcome of the storage. */
  readonly reported: [string, number, string][] = [];
  readonly specs: BlobSpecs;

  constructor(maxBytes = 1_000_000) {
    const { blobStorage: storage } = readBlobStorage(this.server.env);
    if (storage === undefined) throw new Error("the environment is invalid");
    this.specs = new BlobSpecs({
      endpoint: new UpstreamEndpoint({ ...storage, relayVersion: "1" }),
      storage,
      clock: this.clock,
      maxBytes,
      report: (feed, { lcut }, outcome) => this.reported.push([feed.version, lcut, outcome.kind]),
      fallback: {
        fetchSpecs: async (feed) => {
          this.asked.push(feed);
          return { kind: "unauthorized", status: 401 };
        },
      },
    });
  }

  fetch(feed: Feed = feedOf("v1"), sinceTime = 0): Promise<FetchOutcome> {
    return this.specs.fetchSpecs(feed, { lcut: sinceTime, checksum: "" }, never);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}

const bodyOf = (outcome: FetchOutcome) =>
  outcome.kind === "payload" ? Buffer.from(outcome.raw.body).toString() : JSON.stringify(outcome);

describe("Config specs in blob storage", () => {
  test.each(["v1", "v2"] as const)(
    "are in the container of %s, under the company and the key",
    async (version) => {
      await using storage = new Storage();
      storage.server.put(`dcs-${version}`, KEY, { body: version, lcut: 7 });
      const outcome = await storage.fetch(feedOf(version));
      expect(bodyOf(outcome)).toBe(version);
      expect(outcome).toMatchObject({ raw: { headerLcut: 7, format: "json", contentEncoding: "" } });
      expect(storage.server.requests).toEqual([`GET /dcs-${version}/company-1/${KEY}`]);
      expect(storage.server.headers["x-sfp-version"]).toBe("1");
    },
  );

  test("are asked for with HEAD first if a version is held, and then only if they are newer", async () => {
    await using storage = new Storage();
    storage.server.put("dcs-v1", KEY, { body: "{}", lcut: 100 });
    expect(await storage.fetch(feedOf("v1"), 100)).toEqual({ kind: "no_update" });
    expect(await storage.fetch(feedOf("v1"), 101)).toEqual({ kind: "no_update" });
    expect(storage.server.requestsFor(KEY)).toEqual(["HEAD dcs-v1", "HEAD dcs-v1"]);
    expect((await storage.fetch(feedOf("v1"), 99)).kind).toBe("payload");
    expect(storage.server.requestsFor(KEY).slice(2)).toEqual(["HEAD dcs-v1", "GET dcs-v1"]);
  });

  test.each([undefined, "new", "0", "-5", "9007199254740993"])(
    "are fetched if their lcut is %p",
    async (lcut) => {
      await using storage = new Storage();
      storage.server.put("dcs-v1", KEY, { body: "{}", ...(lcut !== undefined && { lcut }) });
      expect(await storage.fetch(feedOf("v1"), 5)).toMatchObject({
        kind: "payload",
        raw: { headerLcut: undefined },
      });
      expect(storage.server.requestsFor(KEY)).toEqual(["HEAD dcs-v1", "GET dcs-v1"]);
    },
  );

  test("keep their coding, and are JSON whatever their type, unless they are coded as statsig-br", async () => {
    await using storage = new Storage();
    const type = "application/octet-stream";
    const body = gzipSync("{}");
    storage.server.put("dcs-v1", KEY, { body, type, encoding: "gzip" });
    const gzipped = await storage.fetch();
    expect(gzipped).toMatchObject({ kind: "payload", raw: { format: "json", contentEncoding: "gzip" } });
    expect(Buffer.from(gzipped.kind === "payload" ? gzipped.raw.body : [])).toEqual(body);
    storage.server.put("dcs-v2", KEY, { body: "x", type, encoding: "statsig-br" });
    expect(await storage.fetch(feedOf("v2", "proto"))).toMatchObject({
      kind: "payload",
      raw: { format: "proto" },
    });
    await storage.fetch(feedOf("v2", "json"));
    expect(storage.asked).toEqual([feedOf("v2", "json")]);
  });

  test("are one blob for clients of both formats", async () => {
    await using storage = new Storage();
    storage.server.put("dcs-v2", KEY, { body: "{}" });
    expect(await storage.fetch(feedOf("v2", "proto"))).toMatchObject({
      kind: "payload",
      raw: { format: "json" },
    });
  });

  test("come from upstream if the blob is missing, with a held version after one HEAD", async () => {
    await using storage = new Storage();
    expect(await storage.fetch()).toEqual({ kind: "unauthorized", status: 401 });
    expect(await storage.fetch(feedOf("v1"), 5)).toEqual({ kind: "unauthorized", status: 401 });
    expect(storage.asked).toHaveLength(2);
    expect(storage.server.requestsFor(KEY)).toEqual(["GET dcs-v1", "HEAD dcs-v1"]);
    expect(storage.reported).toEqual([]);
  });

  test.each([
    [401, "NoAuthenticationInformation"],
    [403, "AuthenticationFailed"],
    [403, "AuthorizationFailure"],
    [500, "InternalError"],
    [503, "ServerBusy"],
    [302, "Moved"],
  ])("are a failure of upstream after %p %p, never an unauthorized key", async (status, code) => {
    await using storage = new Storage();
    storage.server.faults.set(KEY, { kind: "answer", status, code });
    for (const sinceTime of [0, 5]) {
      expect(await storage.fetch(feedOf("v1"), sinceTime)).toMatchObject({
        kind: "failed",
        cause: "status",
        detail: `Azure Blob Storage answered ${status} (${code})`,
      });
    }
    expect(storage.asked).toEqual([]);
    expect(storage.server.requestsFor(KEY)).toEqual(["GET dcs-v1", "HEAD dcs-v1", "GET dcs-v1"]);
  });

  test("that are larger than allowed are refused", async () => {
    await using storage = new Storage(1024 * 1024);
    storage.server.put("dcs-v1", KEY, { body: "x".repeat(1024 * 1024 + 1) });
    expect(await storage.fetch()).toMatchObject({ kind: "refused", reason: "too_large" });
  });

  test.each(["HEAD", "GET"])("time out after 10 s of silence on %s", async (method) => {
    await using storage = new Storage();
    storage.server.put("dcs-v1", KEY, { body: "{}", lcut: 10 });
    storage.server.faults.set(`${method} ${KEY}`, { kind: "silence" });
    const fetching = storage.fetch(feedOf("v1"), 5);
    await eventually(() => expect(storage.server.requests.at(-1)).toStartWith(method));
    await storage.clock.advance(10_000);
    expect(await fetching).toMatchObject({ kind: "failed", cause: "timeout" });
    expect(storage.server.requests.at(-1)).toStartWith(method);
  });

  test("are out of reach with a clock that is wrong by more than the life of a signature", async () => {
    await using storage = new Storage();
    storage.server.put("dcs-v1", KEY, { body: "{}" });
    storage.clock.jump(-301_000);
    const outcome = await storage.fetch();
    expect(outcome).toMatchObject({
      kind: "failed",
      detail: "Azure Blob Storage answered 403 (AuthenticationFailed)",
    });
    for (const secret of [ACCOUNT_KEY, ...storage.server.queries.map((query) => query.get("sig") ?? "")])
      expect(JSON.stringify(outcome)).not.toContain(secret);
  });

  test("fail at once if the storage can't be reached", async () => {
    await using storage = new Storage();
    await storage.server[Symbol.asyncDispose]();
    expect(await storage.fetch(feedOf("v1"), 5)).toEqual({
      kind: "failed",
      cause: "unreachable",
      detail: "connection refused",
    });
    expect(storage.asked).toEqual([]);
  });
});
