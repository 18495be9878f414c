import { projectOfGzipBytes } from "../project.ts";
import { FIRST_LCUT, type StaticUpstream, specPath } from "../static-upstream.ts";

/** A request that is sent to every server. */
export interface HttpCase {
  readonly name: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Size of the body as sent. */
  readonly bodyBytes: number;
}

/** Headers of `statsig-node-core`, but with gzip only: the one encoding in which all servers send the same bytes. */
function sdkHeaders(sdkKey: string): Record<string, string> {
  return {
    "accept-encoding": "gzip",
    "statsig-api-key": sdkKey,
    "statsig-sdk-type": "statsig-server-core-node",
    "statsig-sdk-version": "0.23.2",
    "statsig-server-session-id": "6f2e0b1c-33c5-4ff4-9f5f-2b8f7d7a6f01",
    "statsig-client-time": "1760000000000",
  };
}

const SIZES = [
  { name: "20 KB", bytes: 20_000 },
  { name: "200 KB", bytes: 200_000 },
  { name: "2 MB", bytes: 2_000_000 },
] as const;

interface BodySize {
  readonly name: string;
  readonly bytes: number;
}

/** Publishes a project of each size and returns the requests for them. */
export function publishCases(upstream: StaticUpstream): readonly [HttpCase, ...HttpCase[]] {
  const full = SIZES.map((size) => publishCase(upstream, size));
  const upToDate = upToDateCase(SIZES[0]);
  const closing = full.slice(0, 1).map((each) => ({
    ...each,
    name: `${each.name}, one connection per request`,
    headers: { ...each.headers, connection: "close" },
  }));
  return [upToDate, ...full, ...closing];
}

/** Publishes a project whose body has about this size as gzip, and returns the request for it. */
export function publishCase(upstream: StaticUpstream, { name, bytes }: BodySize): HttpCase {
  const sdkKey = keyOf(bytes);
  const project = projectOfGzipBytes(bytes, FIRST_LCUT);
  upstream.publish(sdkKey, project);
  return { name, path: specPath(sdkKey), headers: sdkHeaders(sdkKey), bodyBytes: project.gzip.length };
}

/** Returns the request of a client that has the project of this size. */
export function upToDateCase({ bytes }: BodySize): HttpCase {
  const sdkKey = keyOf(bytes);
  return { name: "21 B", path: specPath(sdkKey, FIRST_LCUT), headers: sdkHeaders(sdkKey), bodyBytes: 21 };
}

const keyOf = (bytes: number) => `secret-bench-${bytes}`;
