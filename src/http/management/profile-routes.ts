import { type Context, Hono } from "hono";
import { type Profiler, ProfilerBusy, ProfilerStopped, type TakenProfile } from "../../profiling/profiler.ts";
import { RESPONSE_TIMEOUT_MS, type RequestEnv } from "../request-context.ts";
import { errorResponse, retryAfter } from "../responses.ts";
import type { EmitOperatorEvent } from "./events.ts";

export interface DebugEndpoints {
  readonly isOn: () => boolean;
  readonly profiler: Pick<Profiler, "takeCpu" | "takeHeap">;
  readonly emit: EmitOperatorEvent;
}

const DEFAULT_SECONDS = 10;
const MAX_SECONDS = 60;

/** A heap profile examines one thread after the other, each of them for some seconds at most. */
const HEAP_TIMEOUT_MS = 10 * 60_000;

/** A snapshot of more would pause a thread for longer than a second, and its clients with it. */
const MAX_OBJECTS = 500_000;

const IS_OFF =
  "Profiles are turned off: start the relay with --debug-endpoints, or set it in the --config file";
const IS_PAGE = "Pages of a browser may take no profile: use a client such as curl";
const WRONG_METHOD = "A profile costs time, so that it is taken only by POST: curl -X POST";
const WRONG_SECONDS = `The query field seconds is not valid: expected a whole number from 1 to ${MAX_SECONDS}`;
const WRONG_FORMAT = "The query field format is not valid: expected pprof or devtools";
const UNKNOWN_FIELD = "The query has an unknown field";
const IS_BUSY = "Another profile is being taken: one is taken at a time";
const IS_STOPPING = "The relay is shutting down and takes no more profiles";

type Format = "pprof" | "devtools";

/** Serves profiles of this process to operators, if they are turned on (docs/profiling.md). */
export function profileRoutes(debug: DebugEndpoints): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.all("/debug/profile", (context) =>
    guard(context, debug, ["seconds", "format"], (query) => {
      const seconds = readSeconds(query.get("seconds"));
      if (seconds === undefined) return WRONG_SECONDS;
      context.env.setDeadline(seconds * 1_000 + RESPONSE_TIMEOUT_MS);
      const { signal } = context.req.raw;
      return () => debug.profiler.takeCpu({ seconds, signal, wait: false });
    }),
  );
  app.all("/debug/heap", (context) =>
    guard(context, debug, ["format"], () => {
      context.env.setDeadline(HEAP_TIMEOUT_MS);
      const { signal } = context.req.raw;
      return () => debug.profiler.takeHeap({ signal, wait: false, maxObjectsPerThread: MAX_OBJECTS });
    }),
  );
  return app;
}

/** `prepare` returns what takes the profile, or what is wrong with the query. */
async function guard(
  context: Context<RequestEnv>,
  { isOn, emit }: DebugEndpoints,
  fields: readonly string[],
  prepare: (query: URLSearchParams) => string | (() => Promise<TakenProfile>),
): Promise<Response> {
  const { req, env } = context;
  if (!isOn()) return errorResponse(404, { message: IS_OFF });
  if (req.method !== "POST") {
    return errorResponse(405, { message: WRONG_METHOD, headers: { allow: "POST" } });
  }
  // Browsers send it with every POST. Any page could have profiles taken, one after the other, and needs no response for that.
  if (req.header("origin") !== undefined) return errorResponse(403, { message: IS_PAGE });
  const query = new URL(req.url).searchParams;
  const format = readFormat(query.get("format"));
  if (format === undefined) return errorResponse(400, { message: WRONG_FORMAT });
  if ([...query.keys()].some((name) => !fields.includes(name))) {
    return errorResponse(400, { message: `${UNKNOWN_FIELD}: expected ${fields.join(" or ")}` });
  }
  const repeated = fields.find((name) => query.getAll(name).length > 1);
  if (repeated !== undefined) {
    return errorResponse(400, { message: `The query field ${repeated} is given more than once` });
  }
  const take = prepare(query);
  if (typeof take === "string") return errorResponse(400, { message: take });
  env.endWithInput();
  try {
    const profile = await take();
    const file = await encode(profile, format);
    const { kind, durationMs, threads, missing } = profile;
    emit({
      kind: "profile_taken",
      profile: kind,
      from: env.clientAddress,
      durationMs,
      threads: threads.length,
      missing,
      bytes: file.body.length,
    });
    return respond(file, profile);
  } catch (error) {
    if (error instanceof ProfilerStopped) return errorResponse(503, { message: IS_STOPPING });
    if (!(error instanceof ProfilerBusy)) throw error;
    return errorResponse(409, { message: IS_BUSY, headers: retryAfter(error.retryAfterMs) });
  }
}

/** Returns undefined if the value is not valid. */
function readSeconds(text: string | null): number | undefined {
  if (text === null) return DEFAULT_SECONDS;
  const seconds = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  return seconds >= 1 && seconds <= MAX_SECONDS ? seconds : undefined;
}

/** Returns undefined if the value is not valid. */
function readFormat(text: string | null): Format | undefined {
  if (text === null || text === "pprof") return "pprof";
  return text === "devtools" ? "devtools" : undefined;
}

interface ProfileFile {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly extension: string;
}

/** The encoders are loaded by the first profile: a module costs memory. */
async function encode(profile: TakenProfile, format: Format): Promise<ProfileFile> {
  if (format === "pprof") {
    const { encodePprof } = await import("../../profiling/pprof.ts");
    return { body: await encodePprof(profile), type: "application/octet-stream", extension: "pb.gz" };
  }
  const { encodeDevtools } = await import("../../profiling/devtools.ts");
  const body = new TextEncoder().encode(encodeDevtools(profile));
  return { body, type: "application/json", extension: profile.kind === "cpu" ? "cpuprofile" : "heapprofile" };
}

function respond({ body, type, extension }: ProfileFile, { kind, startedAt }: TakenProfile): Response {
  const time = new Date(startedAt).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return new Response(body, {
    headers: {
      "content-type": type,
      "content-disposition": `attachment; filename="statsig-forward-proxy-${kind}-${time}.${extension}"`,
      "cache-control": "no-store",
    },
  });
}
