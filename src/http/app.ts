import { Hono } from "hono";
import type { RequestEnv } from "./exchange.ts";
import { COMMON_HEADERS, errorResponse } from "./responses.ts";

const COMMON = Object.entries(COMMON_HEADERS);

/**
 * Everything but the spec endpoints' hot path: the given routes, and a JSON answer to what is none of them. `onFault` is
 * called with errors that no route expected.
 */
export function createApp(
  parts: readonly Hono<RequestEnv>[],
  extraMethods: Readonly<Record<string, readonly string[]>>,
  onFault: (error: unknown) => void,
): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.use(async (context, next) => {
    await next();
    for (const [name, value] of COMMON) context.res.headers.set(name, value);
  });
  for (const part of parts) app.route("/", part);
  const methods = methodsByPath(parts, extraMethods);
  for (const [path, allowed] of methods) {
    app.all(path, () => errorResponse(405, { allow: [...allowed].sort().join(", ") }));
  }
  app.notFound(() => errorResponse(404));
  app.onError((error, { req }) => {
    // A client that goes in the midst of its request is none.
    if (!req.raw.signal.aborted) onFault(error);
    return errorResponse(500);
  });
  return app;
}

function methodsByPath(
  parts: readonly Hono<RequestEnv>[],
  extra: Readonly<Record<string, readonly string[]>>,
): Map<string, Set<string>> {
  const methods = new Map(Object.entries(extra).map(([path, allowed]) => [path, new Set(allowed)]));
  for (const { path, method } of parts.flatMap(({ routes }) => routes)) {
    const allowed = methods.get(path) ?? new Set();
    allowed.add(method);
    if (method === "GET") allowed.add("HEAD");
    methods.set(path, allowed);
  }
  return methods;
}
