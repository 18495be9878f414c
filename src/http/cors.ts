import { COMMON_HEADERS } from "./responses.ts";

/** More may be told with a request than it says itself. */
type Answer<Told extends readonly unknown[]> = (
  request: Request,
  ...told: Told
) => Response | Promise<Response>;

/** `any`, or origins as browsers write them; none where no other origin's page may read answers. */
export type AllowedOrigins = "any" | readonly string[];

/** What clients send beyond what every page may: SDKs, Connect, gRPC-Web, and whoever traces what a page asks. */
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
  "traceparent",
  "tracestate",
];

/** What pages may read of an answer beyond what they always may: of a spec, of an RPC, and when to ask again. */
const EXPOSED_HEADERS = [
  ...["x-since-time", "x-sfp-source", "x-sfp-confirmed-at", "x-sfp-hostname", "etag", "retry-after"],
  ...["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding"],
  ...["connect-content-encoding", "content-encoding"],
].join(", ");

/** Of a permission, in browsers: short enough that a change of the option is soon known. */
const MAX_AGE_S = 600;

/**
 * The same answers, readable by pages of these origins (CORS); with no origins the very same function. Not hono's
 * middleware: it would wrap every answer anew, and answers to HEAD would lose their length.
 */
export function withCors<Told extends readonly unknown[]>(
  answer: Answer<Told>,
  origins: AllowedOrigins,
): Answer<Told> {
  if (origins.length === 0) return answer;
  return (request, ...told) => {
    const allowed = allowedOrigin(request, origins);
    if (isPreflight(request)) return marked(preflightResponse(allowed), allowed, origins);
    const answered = answer(request, ...told);
    return answered instanceof Promise
      ? answered.then((response) => marked(response, allowed, origins))
      : marked(answered, allowed, origins);
  };
}

function allowedOrigin({ headers }: Request, origins: AllowedOrigins): string | undefined {
  if (origins === "any") return "*";
  const origin = headers.get("origin");
  return origin !== null && origins.includes(origin) ? origin : undefined;
}

/** A browser's question before a request that not every page may send. Any other OPTIONS is the routes' matter. */
function isPreflight({ method, headers }: Request): boolean {
  return method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method");
}

/** For every path alike: what is not there says so itself. */
function preflightResponse(allowed: string | undefined): Response {
  const permission = allowed !== undefined && {
    "access-control-allow-methods": "GET, HEAD, POST",
    "access-control-allow-headers": REQUEST_HEADERS.join(", "),
    "access-control-max-age": String(MAX_AGE_S),
  };
  return new Response(null, { status: 204, headers: { ...COMMON_HEADERS, ...permission } });
}

function marked(response: Response, allowed: string | undefined, origins: AllowedOrigins): Response {
  const { headers } = response;
  if (origins !== "any") headers.append("vary", "origin");
  if (allowed === undefined) return response;
  headers.set("access-control-allow-origin", allowed);
  headers.set("access-control-expose-headers", EXPOSED_HEADERS);
  return response;
}
