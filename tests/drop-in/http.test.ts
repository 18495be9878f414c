import { beforeAll, describe, expect } from "bun:test";
import { rawHttp } from "../support/clients/raw-http.ts";
import { eventually } from "../support/common/wait.ts";
import { checkHttpRow, type HttpRow } from "../support/drop-in/http-row.ts";
import { testRows } from "../support/drop-in/row.ts";
import { exhaust, specsOf as specsFrom } from "../support/relay/access.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { forKey, type PublishedKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { FAILURE_ROWS, type FailureRow, UNKNOWN_KEY_AGAIN, UNKNOWN_KEYS } from "./http-failures.rows.ts";
import { KEY, KEY_ROWS, OTHER_KEYS, PATH_ROWS } from "./http-keys.rows.ts";
import { ID_LIST_ROWS, LOG_EVENT_ROWS } from "./http-log-events.rows.ts";
import { HEADER_ROWS, METHOD_ROWS, NOT_READY_ROWS, POST_ROWS } from "./http-methods.rows.ts";
import { ENCODING_ROWS, ONLY_3_ROWS, PROTOBUF_ROWS, SINCE_TIME_ROWS } from "./http-queries.rows.ts";

const shared = shareRelay({ mode: "http" });
const failureKey = ({ id }: FailureRow): string => `secret-failure-${id}`;
const specsOf = (sdkKey: string) =>
  rawHttp(`${shared.relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);

beforeAll(async () => {
  for (const sdkKey of [KEY, ...OTHER_KEYS]) publishKey(shared.upstream, sdkKey);
  await Promise.all(FAILURE_ROWS.map(startFailure));
}, 60_000);

/** Makes upstream fail for the key of the row, and waits until the relay has seen it. */
async function startFailure(row: FailureRow): Promise<void> {
  const { upstream } = shared;
  const sdkKey = failureKey(row);
  publishKey(upstream, sdkKey);
  if (row.isCached) await specsOf(sdkKey);
  publishKey(upstream, sdkKey, 1);
  upstream.misbehave(row.fault, forKey(sdkKey));
  if (!row.isCached) return;
  const asked = () => upstream.requests.filter(({ path }) => path.endsWith(`/${sdkKey}.json`)).length;
  const before = asked();
  // The second failing request shows that the first one is over; one that hangs is followed by none.
  const failing = row.fault.kind === "hang" ? 1 : 2;
  await eventually(() => expect(asked()).toBeGreaterThanOrEqual(before + failing), { withinMs: 30_000 });
}

async function checkFailureRow(row: FailureRow): Promise<void> {
  const sdkKey = failureKey(row);
  const response = await specsOf(sdkKey);
  switch (row.answer) {
    case "held":
      expect(response.status).toBe(200);
      expect(response.body.toString()).toBe(versionOf(sdkKey).v2);
      break;
    case "unauthorized":
      expect([response.status, response.body.toString()]).toEqual([401, "Unauthorized"]);
      break;
    case "unavailable":
      expect(response.status).toBe(503);
      expect(Number(response.headers["retry-after"])).toBeGreaterThan(0);
      expect(JSON.parse(response.body.toString())).toMatchObject({
        code: 503,
        reason: "Service Unavailable",
        message: expect.stringContaining("No config spec of this SDK key is cached"),
      });
  }
}

/** The key that a row asks for, as far as upstream has it. */
function publishedFor({ path }: HttpRow): PublishedKey {
  const other = OTHER_KEYS.find((sdkKey) => path.endsWith(`/${sdkKey}.json`));
  return versionOf(other ?? KEY);
}

const tables = {
  "the SDK key": KEY_ROWS,
  paths: PATH_ROWS,
  sinceTime: SINCE_TIME_ROWS,
  protobuf: PROTOBUF_ROWS,
  "3.x": ONLY_3_ROWS,
  encodings: ENCODING_ROWS,
  methods: METHOD_ROWS,
  POST: POST_ROWS,
  headers: HEADER_ROWS,
  "log events": LOG_EVENT_ROWS,
  "ID lists": ID_LIST_ROWS,
};

describe("HTTP as the original", () => {
  for (const [name, rows] of Object.entries(tables)) {
    describe(name, () => testRows(rows, (row) => checkHttpRow(row, shared.relay.httpUrl, publishedFor(row))));
  }
  describe("probes of a relay that is not ready", () => {
    const unready = shareRelay({ mode: "http", args: ["--preload-sdk-keys", "secret-nobody"] });
    testRows(NOT_READY_ROWS, (row) => checkHttpRow(row, unready.relay.httpUrl, versionOf(KEY)));
  });
  describe("unknown SDK keys", () => {
    const throttling = shareRelay({ mode: "http", args: ["-m", "1", "--unknown-key-rate-per-s", "1"] });
    testRows([UNKNOWN_KEY_AGAIN], async () => {
      const { relay, upstream } = throttling;
      const askOnce = async () => (await specsFrom(relay, "secret-made-up")).status;
      expect([await askOnce(), await askOnce(), await askOnce()]).toEqual([401, 401, 401]);
      // Longer than the polling interval.
      await Bun.sleep(1_500);
      expect(await askOnce()).toBe(401);
      expect(upstream.requests.filter(({ path }) => path.endsWith("/secret-made-up.json"))).toHaveLength(1);
    });
    testRows([UNKNOWN_KEYS], async () => {
      const throttled = await exhaust(throttling.relay);
      expect([throttled.status, throttled.headers.get("retry-after")]).toEqual([429, "1"]);
    });
  });
  describe("failures of upstream", () => testRows(FAILURE_ROWS, checkFailureRow));
});
