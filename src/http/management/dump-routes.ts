import { Hono } from "hono";
import { LRUCache } from "lru-cache";
import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { RequestEnv } from "../request-context.ts";
import { BytesResponse } from "../response-content.ts";
import { errorResponse, jsonResponse } from "../responses.ts";
import type { EmitOperatorEvent } from "./events.ts";

/** A held version as a file. */
interface DumpedFile {
  /** The name of the file. Identifies the feed, whatever version of it is held, and does not contain the SDK key. */
  readonly name: string;
  readonly snapshot: Snapshot;
}

interface DumpOptions {
  /** Returns what is held, one file for each feed. */
  readonly list: () => readonly DumpedFile[];
  readonly clock: Clock;
  readonly emit: EmitOperatorEvent;
}

/** A dump reads each file after it has read the list. */
const DUMP_LASTS_MS = 10 * 60_000;

const MAX_CLIENTS = 1_000;

/** A large body to a slow client. */
const BODY_DEADLINE_MS = 10 * 60_000;

const NOT_HELD = "No such config specs are held: GET /v1/config_specs lists what is held";

/** Serves the held config specs to operators, for files of `--bootstrap-path`. */
export function dumpRoutes({ list, clock, emit }: DumpOptions): Hono<RequestEnv> {
  const perf = { now: () => clock.elapsed() };
  const dumping = new LRUCache<string, true>({
    max: MAX_CLIENTS,
    ttl: DUMP_LASTS_MS,
    perf,
    ttlResolution: 0,
  });
  const audit = (from: string, detail: { readonly files: number; readonly bytes: number }, sdkKey?: SdkKey) =>
    emit({ kind: "operator_acted", action: "dump", sdkKey, from, detail });
  const app = new Hono<RequestEnv>();
  app.get("/v1/config_specs", ({ env }) => {
    const files = list();
    const bytes = files.reduce((sum, { snapshot }) => sum + snapshot.bytes.length, 0);
    audit(env.clientAddress, { files: files.length, bytes });
    dumping.set(env.clientAddress, true);
    return jsonResponse({ config_specs: files.map(describe) }, { status: 200, headers: NOT_STORED });
  });
  app.get("/v1/config_specs/:name", ({ req, env }) => {
    const file = list().find(({ name }) => name === req.param("name"));
    if (file === undefined) return errorResponse(404, { message: NOT_HELD });
    const { snapshot, name } = file;
    const { bytes, format, lcut, source, feed } = snapshot;
    // One audit event stands for a whole dump.
    if (!dumping.has(env.clientAddress)) {
      audit(env.clientAddress, { files: 1, bytes: bytes.length }, feed.sdkKey);
    }
    env.setDeadline(BODY_DEADLINE_MS);
    return new BytesResponse(bytes, {
      headers: {
        ...NOT_STORED,
        "content-type": format === "proto" ? "application/octet-stream" : "application/json",
        "content-disposition": `attachment; filename="${name}"`,
        "content-length": String(bytes.length),
        "x-since-time": String(lcut),
        "x-sfp-source": source,
      },
    });
  });
  return app;
}

const NOT_STORED = { "cache-control": "no-store" };

function describe({ name, snapshot: { feed, format, lcut, source, bytes } }: DumpedFile) {
  const { version: api_version } = feed;
  return { id: name, key: maskSdkKey(feed.sdkKey), api_version, format, lcut, source, bytes: bytes.length };
}
