import { createHash, timingSafeEqual } from "node:crypto";
import { Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { SMALL_BODY_BYTES } from "../request-body.ts";
import { RESPONSE_TIMEOUT_MS, type RequestEnv } from "../request-context.ts";
import { errorResponse } from "../responses.ts";
import type { EmitOperatorEvent } from "./events.ts";

/** What operators change or read with a token. Every path begins with `/v1/`, and no other path of the port does. */
export interface OperatorApi {
  /** Returns the token that requests must carry; undefined if the API is turned off. */
  readonly token: () => string | undefined;
  readonly parts: readonly Hono<RequestEnv>[];
  readonly emit: EmitOperatorEvent;
}

const API_IS_OFF =
  "The operator API is turned off: set SFP_MANAGEMENT_TOKEN to at least 16 characters, and send it as Authorization: Bearer";
const FIELDS_IN_QUERY = "The fields of a POST are in its body, not in the query: curl -d key=… sends them";
const WRONG_TOKEN =
  "The token is missing or wrong: send that of SFP_MANAGEMENT_TOKEN as Authorization: Bearer";

/** Serves the operator API: every request needs the token, since the port may be reachable for more people than may change flags. */
export function operatorRoutes({ token, parts, emit }: OperatorApi): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.use("/v1/*", requireToken(token, emit));
  app.use("/v1/*", refuseQueryOfPost);
  app.use("/v1/*", limitBody);
  for (const part of parts) app.route("/", part);
  return app;
}

function requireToken(
  expected: OperatorApi["token"],
  emit: EmitOperatorEvent,
): MiddlewareHandler<RequestEnv> {
  return async ({ req, env }, next) => {
    // The body may come slowly, and must not keep the connection for ever.
    env.setDeadline(RESPONSE_TIMEOUT_MS);
    const token = expected();
    if (token === undefined) return errorResponse(403, { message: API_IS_OFF });
    const [, given = ""] = /^Bearer +(\S+)$/i.exec(req.header("authorization") ?? "") ?? [];
    if (isSame(given, token)) return await next();
    emit({ kind: "operator_refused", from: env.clientAddress });
    return errorResponse(401, { message: WRONG_TOKEN, headers: { "www-authenticate": "Bearer" } });
  };
}

const limit = bodyLimit({ maxSize: SMALL_BODY_BYTES, onError: () => errorResponse(413) });

/** A body without a length is read here, so that what fails before the route is the body. */
const limitBody: MiddlewareHandler<RequestEnv> = async (context, next) => {
  let isRead = false;
  try {
    return await limit(context, async () => {
      isRead = true;
      await next();
    });
  } catch (error) {
    if (isRead) throw error;
    return errorResponse(400, { message: "The request ended before its body was complete" });
  }
};

/** A key in the query would be overlooked, and an order to poll or to change one key could mean something else. */
const refuseQueryOfPost: MiddlewareHandler<RequestEnv> = async ({ req }, next) => {
  if (req.method !== "POST" || new URL(req.url).search === "") return await next();
  return errorResponse(400, { message: FIELDS_IN_QUERY });
};

/** Takes the same time whatever the texts have in common. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
