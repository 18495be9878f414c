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
const WRONG_TOKEN =
  "The token is missing or wrong: send that of SFP_MANAGEMENT_TOKEN as Authorization: Bearer";

/** Serves the operator API: every request needs the token, since the port may be reachable for more people than may change flags. */
export function operatorRoutes({ token, parts, emit }: OperatorApi): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.use("/v1/*", requireToken(token, emit));
  app.use("/v1/*", bodyLimit({ maxSize: SMALL_BODY_BYTES, onError: () => errorResponse(413) }));
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

/** Takes the same time whatever the texts have in common. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
