import { status as code } from "@grpc/grpc-js";
import type { WireRequest } from "../support/clients/spec-messages.ts";
import type { DropInRow } from "../support/drop-in/row.ts";
import { FIRST_LCUT as LCUT } from "../support/upstream/published-key.ts";

/** Upstream knows this key. */
export const KEY = "secret-GrpcAbCdEfGhIjKl";
/** Upstream answers 500 for this one. */
export const FAILING_KEY = "secret-grpc-failing";

/** The result of a call: a status, and a message if that is OK. */
export interface CallResult {
  readonly code: number;
  readonly details?: string;
  readonly spec?: "v1" | "v2" | "no update";
}

/** A request that is sent by getConfigSpec and by StreamConfigSpec. */
interface CallRow extends DropInRow {
  readonly kind: "call";
  readonly request: WireRequest;
  readonly result: CallResult;
}

/** A check by `grpc.health.v1`. */
interface HealthRow extends DropInRow {
  readonly kind: "health";
  readonly service: string;
}

/** A check with a name of its own in grpc.test.ts. */
interface ScenarioRow extends DropInRow {
  readonly kind: "scenario";
  readonly name: Scenario;
}

export type Scenario =
  | "response metadata"
  | "updates on a stream"
  | "an update that is older than sinceTime"
  | "heartbeat after 30 s"
  | "more streams than -g"
  | "Check above 90 % of the streams"
  | "Check while the relay is not ready"
  | "shutdown"
  | "key cleared under a stream"
  | "gzip request"
  | "request of 100 KiB"
  | "config spec above 4 MiB"
  | "Watch"
  | "another method"
  | "path with a trailing slash"
  | "reflection"
  | "gRPC-Web";

export type GrpcRow = CallRow | HealthRow | ScenarioRow;

type Difference = readonly [original: string, does: string, subject: string];

function call(name: string, request: WireRequest, result: CallResult, difference?: Difference): CallRow {
  const does = [code[result.code], result.details, result.spec].filter(Boolean).join(" ");
  const [original = does, instead = does, subject] = difference ?? [];
  const ours = subject === undefined ? "same" : { does: instead, subject };
  return { kind: "call", name, request, result, original, ours };
}

const scenario = (name: Scenario, original: string, difference?: readonly [string, string]): ScenarioRow => {
  const [does, subject] = difference ?? [];
  const ours = does === undefined || subject === undefined ? "same" : { does, subject };
  return { kind: "scenario", name, original, ours };
};

const health = (service: string): HealthRow => ({
  kind: "health",
  name: `Check of ${service === "" ? "no service name" : service}`,
  service,
  original: "SERVING",
  ours: "same",
});

const V1: CallResult = { code: code.OK, spec: "v1" };
const V2: CallResult = { code: code.OK, spec: "v2" };
const NO_UPDATE: CallResult = { code: code.OK, spec: "no update" };
const UNAUTHORIZED: CallResult = { code: code.PERMISSION_DENIED, details: "Unauthorized" };

const version = (number: number): WireRequest => ({ sdkKey: KEY, version: number });
const since = (sinceTime: number | bigint): WireRequest => ({ sdkKey: KEY, version: 2, sinceTime });
const malformed = (name: string, sdkKey: string): CallRow =>
  call(name, { sdkKey, version: 2 }, { code: code.INVALID_ARGUMENT }, [
    "the key is sent upstream, PERMISSION_DENIED Unauthorized",
    "INVALID_ARGUMENT",
    "a malformed SDK key",
  ]);

export const GRPC_ROWS: readonly GrpcRow[] = [
  call("no version", { sdkKey: KEY }, V1),
  call("version 0", version(0), V1),
  call("version 1", version(1), V1),
  call("version 2", version(2), V2),
  call("version 3", version(3), UNAUTHORIZED),
  call("version -1", version(-1), UNAUTHORIZED),
  call("sinceTime 0", since(0), V2),
  call("an older sinceTime", since(LCUT - 1), V2),
  call("an equal sinceTime", since(LCUT), NO_UPDATE),
  call("a newer sinceTime", since(LCUT + 1), NO_UPDATE),
  call("sinceTime 2^63", since(2n ** 63n), NO_UPDATE),
  call("sinceTime 2^64 - 1", since(2n ** 64n - 1n), NO_UPDATE),
  call("zstdDictId", { sdkKey: KEY, version: 2, zstdDictId: "d" }, V2),
  call("an unknown key", { sdkKey: "secret-grpc-unknown", version: 2 }, UNAUTHORIZED),
  malformed("an empty key", ""),
  malformed("a key with a slash", "../a"),
  call("a key for which upstream fails", { sdkKey: FAILING_KEY, version: 2 }, { code: code.UNAVAILABLE }, [
    "PERMISSION_DENIED Unauthorized",
    "UNAVAILABLE",
    "nothing cached and upstream failing",
  ]),
  health(""),
  health("statsig_forward_proxy.StatsigForwardProxy"),
  health("grpc.health.v1.Health"),
  health("any.other.Service"),
  scenario("response metadata", "x-sfp-hostname is HOSTNAME, or no_hostname_set"),
  scenario("updates on a stream", "each new version is one message to every stream, with its lcut"),
  scenario("an update that is older than sinceTime", "sent", [
    "not sent",
    "an update on a stream that is not newer than `sinceTime`",
  ]),
  scenario("heartbeat after 30 s", '{"has_updates":false} with the lcut of the stream'),
  scenario(
    "more streams than -g",
    "RESOURCE_EXHAUSTED Max concurrent streams reached; unary calls still work",
  ),
  scenario("Check above 90 % of the streams", "NOT_SERVING; SERVING at 90 %"),
  scenario("Check while the relay is not ready", "SERVING: only streams count", [
    "NOT_SERVING",
    "a relay that is not ready",
  ]),
  scenario("shutdown", "streams end with OK", [
    "streams end with UNAVAILABLE",
    "the end of streams at shutdown",
  ]),
  scenario("key cleared under a stream", "the stream stays open, and is sent heartbeats", [
    "the stream ends with PERMISSION_DENIED Unauthorized",
    "a stream whose SDK key was cleared",
  ]),
  scenario("gzip request", "UNIMPLEMENTED", ["OK", "compressed gRPC requests"]),
  scenario("request of 100 KiB", "OK: up to 4 MiB are read", [
    "RESOURCE_EXHAUSTED above 64 KiB",
    "gRPC requests above 64 KiB",
  ]),
  scenario("config spec above 4 MiB", "sent, whatever its size", [
    "RESOURCE_EXHAUSTED; sent with --grpc-max-message-size-in-mb",
    "config specs above 4 MiB over gRPC",
  ]),
  scenario("Watch", "UNIMPLEMENTED", ["served", "`Watch` of gRPC health"]),
  scenario("another method", "UNIMPLEMENTED"),
  scenario("path with a trailing slash", "UNIMPLEMENTED"),
  scenario("reflection", "UNIMPLEMENTED", ["served", "gRPC-Web, Connect, reflection"]),
  scenario("gRPC-Web", "not served", ["served", "gRPC-Web, Connect, reflection"]),
];
