import { COMMON_HEADERS } from "./responses.ts";

/** A handler whose further arguments, such as the request context, are passed through. */
type Handler<Args extends readonly unknown[]> = (
  request: Request,
  ...args: Args
) => Response | Promise<Response>;

/** `any`, or a list of origins as browsers write them. An empty list turns CORS off. */
export type AllowedOrigins = "any" | readonly string[];

/** The request headers that are not on the CORS safelist and that SDKs, Connect, gRPC-Web and tracing in browsers send. */
const REQUEST_HEADERS = [
  "statsig-api-key",
  "statsig-sdk-type",
  "statsig-sdk-version",
  "statsig-server-session-id",
  "statsig-client-time",
  "statsig-supports-proto",
  "statsig-event-count",
  "statsig-retry-count",
  "content-type",
  "content-encoding",
  "connect-protocol-version",
  "connect-timeout-ms",
  "connect-content-encoding",
  "connect-accept-encoding",
  "x-grpc-web",
  "x-user-agent",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-message-type",
  "accept-encoding",
  "last-event-id",
  "traceparent",
  "tracestate",
];

/** The response headers that are not on the CORS safelist and that pages may read. */
const EXPOSED_HEADERS = [
  ...["x-since-time", "x-sfp-source", "x-sfp-confirmed-at", "x-sfp-hostname", "etag", "retry-after"],
  ...["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding"],
  ...["connect-content-encoding", "content-encoding"],
].join(", ");

/** How long browsers may cache a preflight response. It is short so that a change of the option takes effect soon. */
const PREFLIGHT_MAX_AGE_S = 600;

/**
 * Wraps a handler so that pages of the allowed origins may read its responses. Returns the handler itself if CORS is off.
 * Hono's middleware is not used: it copies every response, and responses to HEAD lose their length.
 */
export function withCors<Args extends readonly unknown[]>(
  handle: Handler<Args>,
  origins: AllowedOrigins,
): Handler<Args> {
  if (origins.length === 0) return handle;
  return (request, ...args) => {
    const allowed = findAllowedOrigin(request, origins);
    if (isPreflight(request)) return withCorsHeaders(preflightResponse(allowed), allowed, origins);
    const response = handle(request, ...args);
    return response instanceof Promise
      ? response.then((resolved) => withCorsHeaders(resolved, allowed, origins))
      : withCorsHeaders(response, allowed, origins);
  };
}

function findAllowedOrigin({ headers }: Request, origins: AllowedOrigins): string | undefined {
  if (origins === "any") return "*";
  const origin = headers.get("origin");
  return origin !== null && origins.includes(origin) ? origin : undefined;
}

/** Whether a browser asks for permission to send a request. Any other OPTIONS request is left to the routes. */
function isPreflight({ method, headers }: Request): boolean {
  return method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method");
}

/** The same for every path: the request that follows learns whether the path exists. */
function preflightResponse(allowed: string | undefined): Response {
  const permission = allowed !== undefined && {
    "access-control-allow-methods": "GET, HEAD, POST",
    "access-control-allow-headers": REQUEST_HEADERS.join(", "),
    "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
  };
  return new Response(null, { status: 204, headers: { ...COMMON_HEADERS, ...permission } });
}

function withCorsHeaders(response: Response, allowed: string | undefined, origins: AllowedOrigins): Response {
  const { headers } = response;
  if (origins !== "any") headers.append("vary", "origin");
  if (allowed === undefined) return response;
  headers.set("access-control-allow-origin", allowed);
  headers.set("access-control-expose-headers", EXPOSED_HEADERS);
  return response;
}
