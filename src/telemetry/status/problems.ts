import { describeFeed } from "../../specs/feed.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Incident } from "./incident.ts";
import type { FoundProblem } from "./next-steps.ts";
import { type EventsStatus, type ProblemKind, toIsoOrNull } from "./schema.ts";
import type { LocalStatus, RedisStatus } from "./schema-backup.ts";
import { type UpstreamHealth, upstreamProblems } from "./upstream.ts";

/** Everything that problems are derived from. */
interface ProblemReadings {
  readonly telemetry: Telemetry;
  readonly now: number;
  readonly notReady: readonly string[];
  readonly upstream: UpstreamHealth;
  readonly redis: RedisStatus | null;
  readonly local: LocalStatus | null;
  readonly events: EventsStatus;
}

/** A delayed write to Redis or delayed log events become a problem after this time. */
const DELAY_TOLERATED_S = 30;

/** An unexpected error of a task is shown for this time. */
const UNEXPECTED_SHOWN_MS = 15 * 60_000;

/** A backup entry that is not read again within this time was overwritten or is no longer requested. */
const UNUSABLE_SHOWN_MS = 10 * 60_000;

const WARN_BEFORE_EXPIRY_MS = 14 * 24 * 3_600_000;

/** Returns all problems, critical ones first. */
export function findProblems(readings: ProblemReadings): readonly FoundProblem[] {
  const { notReady, upstream } = readings;
  return [
    ...notReady.map((reason) => problem("not_ready", `Not ready: ${reason}`, { severity: "critical" })),
    ...certificateProblems(readings),
    ...upstreamProblems(upstream),
    ...sizeProblems(readings),
    ...redisProblems(readings),
    ...localProblems(readings),
    ...entryProblems(readings),
    ...eventProblems(readings),
    ...otherProblems(readings),
    ...servingProblems(readings),
    ...unexpectedErrors(readings),
  ].sort((a, b) => Number(b.severity === "critical") - Number(a.severity === "critical"));
}

interface ProblemDetails {
  readonly since?: number | undefined;
  readonly detail?: string | undefined;
  readonly severity?: FoundProblem["severity"];
}

function problem(
  kind: ProblemKind,
  text: string,
  { since, detail, severity }: ProblemDetails = {},
): FoundProblem {
  return { kind, severity: severity ?? "warning", text, since: toIsoOrNull(since), detail: detail ?? null };
}

function* sizeProblems({ telemetry }: ProblemReadings): Iterable<FoundProblem> {
  const oversized = telemetry.rpc.oversized.list();
  const [longest] = oversized;
  if (longest === undefined) return;
  const text = `gRPC clients do not get the newest version of ${countFeeds(oversized.length)}: too large`;
  const size = `feed ${describeFeed(longest.feed)} has ${longest.bytes} bytes`;
  const detail = `${size}, more than --grpc-max-message-size-in-mb: let its clients poll over HTTP`;
  yield problem("feeds_too_large_for_grpc", text, { since: longest.since, detail });
}

interface StreamReadings {
  readonly open: number;
  readonly maxStreams: number;
  /** Whether gRPC health leaves the relay in service. */
  readonly hasRoom: boolean;
}

/** With a limit of 0, that there is no room is what the operator wants. */
export function* streamProblems({ open, maxStreams, hasRoom }: StreamReadings): Iterable<FoundProblem> {
  if (hasRoom || maxStreams === 0) return;
  const text = `gRPC health is NOT_SERVING: ${open} of at most ${maxStreams} streams are open`;
  const detail = "add a relay, or raise --grpc-max-concurrent-streams";
  yield problem("streams_near_max", text, { detail });
}

function* redisProblems({ telemetry, redis, now }: ProblemReadings): Iterable<FoundProblem> {
  const { down, rejectsWrites, tokenFailed, missingPermissions } = telemetry.redis;
  if (down !== undefined) {
    yield problem("redis_down", "Redis is unavailable", toDetails(down));
  } else if (rejectsWrites !== undefined) {
    const text = "Redis rejects writes: the backup is going stale";
    yield problem("redis_refuses_writes", text, toDetails(rejectsWrites));
  } else if (redis?.behind_feeds && (redis.lag_s ?? 0) > DELAY_TOLERATED_S) {
    const since = now - (redis.lag_s ?? 0) * 1_000;
    const text = `Redis does not have the newest version of ${countFeeds(redis.behind_feeds)}`;
    yield problem("redis_behind", text, { since });
  }
  if (tokenFailed !== undefined) {
    yield problem(
      "redis_token_failed",
      "The access token for Redis could not be renewed",
      toDetails(tokenFailed),
    );
  }
  for (const [permission, incident] of missingPermissions) {
    const text = `The Redis user lacks the permission ${permission}`;
    yield problem("redis_permission_missing", text, toDetails(incident));
  }
}

function* localProblems({ telemetry, local }: ProblemReadings): Iterable<FoundProblem> {
  const { unusable } = telemetry.sqlite;
  if (unusable !== undefined) {
    const text = "The local backup is unusable: a restart begins without config specs";
    yield problem("local_unusable", text, toDetails(unusable));
  } else if (local?.state === "failing") {
    const since = local.since === null ? undefined : Date.parse(local.since);
    const detail = telemetry.backup.latestError.error?.detail;
    yield problem("local_failing", "Reads or writes of the local backup fail", { since, detail });
  }
}

function* entryProblems({ telemetry, now }: ProblemReadings): Iterable<FoundProblem> {
  const { unusableEntry } = telemetry.backup;
  if (unusableEntry === undefined || now - unusableEntry.since > UNUSABLE_SHOWN_MS) return;
  const text = "A backup entry is unusable and is not served";
  yield problem("backup_unusable", text, toDetails(unusableEntry));
}

function toDetails({ since, reason }: Incident): ProblemDetails {
  return { since, detail: reason };
}

function* eventProblems({ telemetry, events, now }: ProblemReadings): Iterable<FoundProblem> {
  const { failing } = telemetry.spool;
  const { delayed } = telemetry.logEvents;
  if (failing !== undefined) {
    const text = events.durable
      ? "Writes to the event spool fail"
      : "The event spool is unusable: log events are kept in memory and lost when the process ends";
    yield problem("spool_unusable", text, toDetails(failing));
  }
  if (delayed !== undefined && now - delayed.since > DELAY_TOLERATED_S * 1_000) {
    const text = "Log events are delayed: they cannot be forwarded to upstream";
    yield problem("events_delayed", text, toDetails(delayed));
  }
}

function* certificateProblems({ telemetry, now }: ProblemReadings): Iterable<FoundProblem> {
  const { certificate, refused } = telemetry.tls;
  if (certificate !== undefined && certificate.expiresAt - now < WARN_BEFORE_EXPIRY_MS) {
    const isExpired = certificate.expiresAt <= now;
    const day = toIsoOrNull(certificate.expiresAt)?.slice(0, 10);
    yield isExpired
      ? problem("certificate_expires", `The certificate expired on ${day}`, { severity: "critical" })
      : problem("certificate_expires", `The certificate expires on ${day}`);
  }
  if (refused !== null) {
    const text = "The new certificate files are invalid: the previous certificate stays in use";
    yield problem("certificate_refused", text, { since: Date.parse(refused.at), detail: refused.detail });
  }
}

function* otherProblems({ telemetry }: ProblemReadings): Iterable<FoundProblem> {
  const { allowListRefused } = telemetry.access;
  if (allowListRefused !== undefined) {
    const text = "The new list of allowed SDK keys is invalid: the previous list stays in use";
    yield problem("allowed_keys_refused", text, toDetails(allowListRefused));
  }
  for (const [sink, failing] of telemetry.sinks.states) {
    if (failing !== undefined) yield problem("sink_failing", `Export to ${sink} fails`, toDetails(failing));
  }
}

/** Without any thread of a kind, nothing answers on its ports. */
function* servingProblems({ telemetry: { serving } }: ProblemReadings): Iterable<FoundProblem> {
  const [longest] = serving.missing();
  if (longest === undefined) return;
  const counts = [...serving.counts().values()];
  const severity = counts.some(({ running }) => running === 0) ? "critical" : "warning";
  const text = `${serving.running} of ${serving.wanted} serving threads are running`;
  yield problem("serving_threads_missing", text, { ...toDetails(longest), severity });
}

/** A loop is a problem as long as it fails. A task runs once: its error is shown for some time. */
function* unexpectedErrors({ telemetry, now }: ProblemReadings): Iterable<FoundProblem> {
  const { failingLoops, taskFailed } = telemetry.supervision;
  for (const [loop, incident] of failingLoops) {
    const text = `Unexpected errors in ${loop.replaceAll("_", " ")}: it is retried`;
    yield problem("unexpected_error", text, toDetails(incident));
  }
  if (taskFailed !== undefined && now - taskFailed.since < UNEXPECTED_SHOWN_MS) {
    const text = "An unexpected error occurred: the relay continues";
    yield problem("unexpected_error", text, toDetails(taskFailed));
  }
}

function countFeeds(count: number): string {
  return count === 1 ? "1 feed" : `${count} feeds`;
}
