import { Hono } from "hono";
import { getPath } from "hono/utils/url";
import type { RequestEnv } from "./request-context.ts";
import { collapseSlashes } from "./request-path.ts";
import { COMMON_HEADERS, errorResponse, failureResponse } from "./responses.ts";

const COMMON_ENTRIES = Object.entries(COMMON_HEADERS);

/**
 * Creates the Hono app with the given routes, JSON bodies for 404 and 405, and the headers that every response has.
 * `extraMethods` are methods by path that are handled elsewhere. `onFault` is called with unexpected errors.
 */
export function createApp(
  parts: readonly Hono<RequestEnv>[],
  extraMethods: Readonly<Record<string, readonly string[]>>,
  onFault: (error: unknown) => void,
): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>({ getPath: (request) => collapseSlashes(getPath(request)) });
  app.use(async (context, next) => {
    await next();
    for (const [name, value] of COMMON_ENTRIES) context.res.headers.set(name, value);
  });
  for (const part of parts) app.route("/", part);
  const methods = methodsByPath(parts, extraMethods);
  for (const [path, allowed] of methods) {
    app.all(path, () => errorResponse(405, { headers: { allow: [...allowed].sort().join(", ") } }));
  }
  app.notFound(() => errorResponse(404));
  app.onError((error, { req }) => {
    // An error after the client has gone is no fault.
    if (!req.raw.signal.aborted) onFault(error);
    return failureResponse(error);
  });
  return app;
}

function methodsByPath(
  parts: readonly Hono<RequestEnv>[],
  extra: Readonly<Record<string, readonly string[]>>,
): Map<string, Set<string>> {
  const methods = new Map(Object.entries(extra).map(([path, allowed]) => [path, new Set(allowed)]));
  for (const { path, method } of parts.flatMap(({ routes }) => routes)) {
    // Middleware, which answers nothing by itself.
    if (method === "ALL") continue;
    const allowed = methods.get(path) ?? new Set();
    allowed.add(method);
    if (method === "GET") allowed.add("HEAD");
    methods.set(path, allowed);
  }
  return methods;
}
