import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { rawHttp } from "../support/clients/raw-http.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { type RelayProcess, runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { ACCOUNT_KEY, BlobStorageServer } from "../support/upstream/blob-storage.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";
import {
  BLOB_ROWS,
  type BlobRow,
  OTHER_ROWS,
  POLL_ROWS,
  type PollRow,
  UNUSED_ROWS,
  type UnusedRow,
} from "./blob.rows.ts";

const WAIT = { withinMs: 15_000, everyMs: 50 };
const PROTO = [
  ["statsig-supports-proto", "true"],
  ["accept-encoding", "statsig-br"],
] as const;

const keyOf = ({ id }: { readonly id: string }) => `secret-blob-${id}`;
const pollKeyOf = ({ id }: { readonly id: string }) => `secret-poll-${id}`;

let upstream: Upstream;
let storage: BlobStorageServer;
let managed: ManagedRelay;
let relay: RelayProcess;
const owned = new AsyncDisposableStack();

beforeAll(async () => {
  upstream = owned.use(await startUpstream());
  storage = owned.use(new BlobStorageServer());
  managed = owned.use(
    await startManagedRelay({ mode: "http", upstream, env: { ...storage.env, SFP_DEBUG_LOGGING: "true" } }),
  );
  ({ relay } = managed);
}, 20_000);
afterAll(() => owned.disposeAsync());

const specsOf = (to: RelayProcess, sdkKey: string, api = "v2", headers: typeof PROTO | readonly [] = []) =>
  rawHttp(`${to.httpUrl}/${api}/download_config_specs/${sdkKey}.json`, { headers });

/** Stores version 0 of a key. Upstream has version 2. */
function store(row: BlobRow, sdkKey: string): void {
  const { v1, v2, proto, lcut } = versionOf(sdkKey);
  publishKey(upstream, sdkKey, 2);
  if (row.fault !== undefined) storage.faults.set(sdkKey, row.fault);
  const json = row.api === "v1" ? v1 : v2;
  const blobs = {
    json: { body: json },
    gzip: { body: gzipSync(json), encoding: "gzip" },
    proto: { body: proto, encoding: "statsig-br", type: "application/octet-stream" },
  };
  if (row.blob !== "none") storage.put(`dcs-${row.api}`, sdkKey, { ...blobs[row.blob], lcut });
}

describe("Config specs in blob storage, for a first request", () => {
  testRows(BLOB_ROWS, async (row) => {
    const sdkKey = keyOf(row);
    store(row, sdkKey);
    const response = await specsOf(relay, sdkKey, row.api, row.asksForProto ? PROTO : []);
    const { v1, v2, proto } = versionOf(sdkKey);
    switch (row.answer) {
      case "blob": {
        expect(response.status).toBe(200);
        const stored = row.blob === "proto" ? proto : Buffer.from(row.api === "v1" ? v1 : v2);
        expect(response.body).toEqual(stored);
        break;
      }
      case "upstream":
        expect(response.body.toString()).toBe(versionOf(sdkKey, 2).v2);
        break;
      case "unavailable":
        expect(response.status).toBe(503);
    }
    expect(storage.requestsFor(sdkKey).slice(0, row.requests.length)).toEqual([...row.requests]);
    const isAsked = upstream.requests.some(({ path }) => path.includes(sdkKey));
    expect(isAsked).toBe(row.answer === "upstream");
  });
});

test("The metric DcsFetchSource says whether the blob storage or upstream responded", async () => {
  const metrics = (await managed.get("/metrics")).body.toString();
  const sources = metrics.matchAll(/^statsig_forward_proxy_DcsFetchSource_\w+\{.*client_service="(\w+)"/gm);
  expect(new Set(Array.from(sources, ([, source]) => source))).toEqual(new Set(["blob", "cdn_fallback"]));
});

describe("Config specs in blob storage, for polls", () => {
  /** The number of requests until the storage changed. */
  const before = new Map<string, number>();

  beforeAll(async () => {
    for (const row of POLL_ROWS) {
      const sdkKey = pollKeyOf(row);
      const { v2, lcut } = versionOf(sdkKey);
      storage.put("dcs-v2", sdkKey, { body: v2, ...(row.hasMetadata && { lcut }) });
      expect((await specsOf(relay, sdkKey)).body.toString()).toBe(v2);
    }
    for (const row of POLL_ROWS) change(row);
  }, 20_000);

  function change(row: PollRow): void {
    const sdkKey = pollKeyOf(row);
    if (row.upstream !== undefined) publishKey(upstream, sdkKey, row.upstream);
    if (row.blob === undefined) storage.remove("dcs-v2", sdkKey);
    else {
      const { v2, lcut } = versionOf(sdkKey, row.blob);
      storage.put("dcs-v2", sdkKey, { body: v2, ...(row.hasMetadata && { lcut }) });
    }
    for (const [method, fault] of Object.entries(row.faults ?? {}))
      storage.faults.set(`${method} ${sdkKey}`, fault);
    before.set(sdkKey, storage.requestsFor(sdkKey).length);
  }

  testRows(POLL_ROWS, async (row) => {
    const sdkKey = pollKeyOf(row);
    // Each poll begins with a HEAD. What is left of a poll that began before the change does not count.
    const since = () => {
      const requests = storage.requestsFor(sdkKey).slice(before.get(sdkKey));
      return requests.slice(requests.findIndex((request) => request.startsWith("HEAD ")));
    };
    // The requests of a second poll show that the first one is over.
    await eventually(() => expect(since().length).toBeGreaterThanOrEqual(row.requests.length + 1), WAIT);
    expect(since().slice(0, row.requests.length)).toEqual([...row.requests]);
    await eventually(
      async () =>
        expect((await specsOf(relay, sdkKey)).body.toString()).toBe(versionOf(sdkKey, row.serves).v2),
      WAIT,
    );
    const isAsked = upstream.requests.some(({ path }) => path.includes(sdkKey));
    expect(isAsked).toBe(row.blob === undefined);
  });
});

describe("Without blob storage, config specs come from upstream", () => {
  testRows(UNUSED_ROWS, async ({ env, reason }: UnusedRow) => {
    const sdkKey = "secret-unused";
    const { v2 } = publishKey(upstream, sdkKey);
    await using plain = await startRelayProcess({ mode: "http", upstream, env });
    expect((await specsOf(plain, sdkKey)).body.toString()).toBe(v2);
    if (reason === undefined) expect(plain.output()).not.toContain("blob");
    else expect(plain.output()).toMatch(new RegExp(`warn.*blob storage not used.*${reason}`, "i"));
  });
});

describe("Blob storage", () => {
  testRows([OTHER_ROWS.refused], async () => {
    const env = { ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: "yes" };
    const { exitCode, stderr } = await runRelay(["http", "disabled"], env);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS");
  });

  // The server checks the signature of each request by itself, and all blobs above were read with one.
  testRows([OTHER_ROWS.signature], () => {
    expect(storage.queries.length).toBeGreaterThan(BLOB_ROWS.length);
    for (const query of storage.queries)
      expect([...query.keys()]).toEqual(["sv", "spr", "se", "sr", "sp", "sig"]);
  });

  testRows([OTHER_ROWS.version], () => {
    expect(storage.headers["x-sfp-version"]).toMatch(/^\d+\.\d+\.\d+/);
  });

  testRows([OTHER_ROWS.address], () => {
    expect(relay.output()).toContain(`blob_storage=${storage.url}`);
    expect(storage.connectionString).toContain(`BlobEndpoint=${storage.url}`);
  });

  testRows([OTHER_ROWS.secrets], () => {
    expect(relay.output()).toContain("Azure Blob Storage answered 403 (AuthenticationFailed)");
    const signatures = storage.queries.map((query) => query.get("sig") ?? "");
    for (const secret of [ACCOUNT_KEY, ...signatures, ...signatures.map(encodeURIComponent)])
      expect(relay.output()).not.toContain(secret);
  });
});
