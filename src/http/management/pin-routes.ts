import { type Context, Hono } from "hono";
import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type {
  Comparison,
  FeedChange,
  Order,
  OrderRefusal,
  PinDesk,
  PinOutcome,
} from "../../specs/pins/pin-desk.ts";
import type { RequestEnv } from "../request-context.ts";
import { errorResponse, jsonResponse } from "../responses.ts";
import type { EmitOperatorEvent } from "./events.ts";
import { BadOrder, type OrderBody, readOrder, readVersion, unknownField } from "./order-body.ts";
import { formatPin, formatVersion } from "./pin-formats.ts";
import { readFields } from "./request-fields.ts";

interface PinRoutesOptions {
  readonly desk: PinDesk;
  readonly emit: EmitOperatorEvent;
  /** Resolves when the serving threads have what was published, or soon: they may be busy. */
  readonly delivered: () => Promise<void>;
}

type Api = Context<RequestEnv>;

const STATUS = { unknown_key: 404, unknown_version: 404, conflict: 409 } as const;

/** The notes with a change that is in the memory of this relay alone. */
const NOTES = {
  notYet: "the backup fails: until it works, other relays do not have this change, and a restart loses it",
  never: "this relay has no backup: other relays do not have this change, and a restart loses it",
};

/** Serves the history of versions, and lets operators roll back, pin and release SDK keys (docs/rolling-back.md). */
export function pinRoutes(options: PinRoutesOptions): Hono<RequestEnv> {
  const { desk } = options;
  const app = new Hono<RequestEnv>();
  app.get("/v1/versions", (context) =>
    withKey(desk, context, ["key"], (sdkKey) => listVersions(desk, sdkKey)),
  );
  app.get("/v1/versions/diff", (context) =>
    withKey(desk, context, ["key", "from", "to"], (sdkKey) => {
      const [from, to] = (["from", "to"] as const).map((name) => {
        const value = context.req.query(name);
        return value === undefined ? undefined : readVersion(name, value);
      });
      return compare(desk, sdkKey, from, to);
    }),
  );
  app.get("/v1/pins", () => jsonResponse({ pins: desk.pinnedKeys().map((pin) => formatPin(pin)) }, OK));
  app.post("/v1/rollback", async (context) => {
    const fields = ["key", "to", "reason", "dry_run"];
    return act(options, context, "roll back", fields, (order, body) =>
      desk.rollBack(order, body.to, body.isDryRun),
    );
  });
  app.post("/v1/pin", async (context) => {
    const fields = ["key", "reason", "dry_run"];
    return act(options, context, "pin", fields, (order, body) => desk.hold(order, body.isDryRun));
  });
  app.post("/v1/unpin", async (context) => {
    const fields = ["key", "reason", "dry_run"];
    return act(options, context, "release", fields, (order, body) => desk.release(order, body.isDryRun));
  });
  return app;
}

const PATHS = ["/v1/versions", "/v1/versions/diff", "/v1/pins", "/v1/rollback", "/v1/pin", "/v1/unpin"];

const OFFLINE =
  "Offline, the files say what is served: nothing can be rolled back or pinned, and no versions are kept";

/** Takes the place of {@link pinRoutes} offline. */
export function offlinePinRoutes(): Hono<RequestEnv> {
  return new Hono<RequestEnv>().on(["GET", "POST"], PATHS, () => errorResponse(409, { message: OFFLINE }));
}

const OK = { status: 200, headers: { "cache-control": "no-store" } };

const refused = ({ kind, detail }: OrderRefusal) =>
  errorResponse(STATUS[kind], { message: toSentence(detail) });

const toSentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

const badRequest = ({ message }: BadOrder) => errorResponse(400, { message });

/** Answers a request for what is known of the key that its query names. */
async function withKey(
  desk: PinDesk,
  { req }: Api,
  allowed: readonly string[],
  respond: (sdkKey: SdkKey) => Response | Promise<Response>,
): Promise<Response> {
  const unknown = Object.keys(req.query()).find((name) => !allowed.includes(name));
  if (unknown !== undefined) return badRequest(unknownField(unknown, allowed));
  const key = req.query("key");
  if (key === undefined || key === "") return errorResponse(400, { message: MISSING_KEY });
  const sdkKey = desk.findKey(key);
  if (typeof sdkKey !== "string") return refused(sdkKey);
  try {
    return await respond(sdkKey);
  } catch (error) {
    if (error instanceof BadOrder) return badRequest(error);
    throw error;
  }
}

const MISSING_KEY = "The query has no key: add ?key= with an SDK key, whole or masked";

function listVersions(desk: PinDesk, sdkKey: SdkKey): Response {
  const pin = desk.pinOf(sdkKey);
  const versions = desk.versions(sdkKey).map(formatVersion);
  return jsonResponse({ key: maskSdkKey(sdkKey), versions, pin: pin ? formatPin(pin) : null }, OK);
}

async function compare(desk: PinDesk, sdkKey: SdkKey, from?: number, to?: number): Promise<Response> {
  const compared = await desk.compare(sdkKey, from, to);
  return "kind" in compared ? refused(compared) : jsonResponse(formatDiff(sdkKey, compared), OK);
}

function formatDiff(sdkKey: SdkKey, { feed, from, to, diff }: Comparison): object {
  const { version: apiVersion, format } = feed;
  return { key: maskSdkKey(sdkKey), api_version: apiVersion, format, from: from.lcut, to: to.lcut, ...diff };
}

type Work = (order: Order, body: OrderBody) => Promise<PinOutcome | OrderRefusal>;

/** Does what an operator asks for. Logs it, whatever comes of it, once it is known which SDK key is meant. */
async function act(
  { desk, emit, delivered }: PinRoutesOptions,
  context: Api,
  action: string,
  fields: readonly string[],
  work: Work,
): Promise<Response> {
  const from = context.env.clientAddress;
  const report = (result: string, detail: Readonly<Record<string, string | number>>, sdkKey?: SdkKey) =>
    emit({ kind: "operator_acted", action, sdkKey, from, detail: { result, ...detail } });
  let body: OrderBody;
  try {
    body = readOrder(await readFields(context), fields);
  } catch (error) {
    if (!(error instanceof BadOrder)) throw error;
    return badRequest(error);
  }
  const { reason, isDryRun } = body;
  const sdkKey = desk.findKey(body.key);
  if (typeof sdkKey !== "string") return refused(sdkKey);
  const outcome = await work({ sdkKey, by: from, reason }, body);
  if (outcome.kind !== "done") {
    if (!isDryRun) report(outcome.kind, { ...(reason && { reason }) }, sdkKey);
    return refused(outcome);
  }
  const [leading] = outcome.feeds.toSorted((a, b) => rank(a) - rank(b));
  const versions = { ...(leading && { from: leading.from, to: leading.to }) };
  if (!isDryRun) {
    report(toResult(outcome), { ...versions, ...(reason && { reason }) }, sdkKey);
    // The next request of an operator is often to look.
    await delivered();
  }
  return respondDone({ desk, sdkKey, outcome, isDryRun, versions });
}

/** A feed that changes says more than one that does not. */
const rank = ({ result }: FeedChange): number => Number(result !== "changed");

const toResult = ({ feeds }: PinOutcome): string =>
  feeds.some(({ result }) => result === "failed" || result === "version_not_kept") ? "incomplete" : "done";

interface Done {
  readonly desk: PinDesk;
  readonly sdkKey: SdkKey;
  readonly outcome: PinOutcome;
  readonly isDryRun: boolean;
  readonly versions: { readonly from?: number; readonly to?: number };
}

async function respondDone({ desk, sdkKey, outcome, isDryRun, versions }: Done): Promise<Response> {
  const pin = desk.pinOf(sdkKey);
  const feeds = outcome.feeds.map(({ feed, from, to, servedLcut, result }) => ({
    ...{ api_version: feed.version, format: feed.format, from, to, served_lcut: servedLcut, result },
  }));
  const done = { key: maskSdkKey(sdkKey), ...versions, result: toResult(outcome), feeds };
  if (!isDryRun) {
    const note = outcome.isStored ? {} : { note: desk.isStored ? NOTES.notYet : NOTES.never };
    return jsonResponse({ ...done, stored: outcome.isStored, ...note, pin: pin ? formatPin(pin) : null }, OK);
  }
  const { from, to } = versions;
  const compared = from === to ? undefined : await desk.compare(sdkKey, from, to);
  const diff = compared === undefined || "kind" in compared ? null : formatDiff(sdkKey, compared);
  return jsonResponse({ ...done, dry_run: true, diff }, OK);
}
