import type { BackupMemory, Condition } from "../topics/backup.ts";
import type { FlowMemory } from "../topics/log-events.ts";
import {
  type EventsStatus,
  type LocalStatus,
  type Problem,
  type ProblemKind,
  type RedisStatus,
  toIsoOrNull,
} from "./schema.ts";
import { type UpstreamHealth, upstreamProblems } from "./upstream.ts";

/** What there is to find something wrong with. */
interface ProblemReadings {
  readonly now: number;
  readonly notReady: readonly string[];
  readonly upstream: UpstreamHealth;
  readonly backup: BackupMemory;
  readonly redis: RedisStatus | null;
  readonly local: LocalStatus | null;
  readonly flow: FlowMemory;
  readonly events: EventsStatus;
}

/** What is written, or tried again, within this time is no problem yet. */
const PATIENCE_S = 30;

/** An error that does not come again within this time is no longer a problem. */
const UNEXPECTED_SHOWN_MS = 15 * 60_000;
/** An entry of the backup that is not read again within this time has been overwritten, or is no longer asked for. */
const UNUSABLE_SHOWN_MS = 10 * 60_000;

const WARN_OF_EXPIRY_MS = 14 * 24 * 3_600_000;

/** Everything that an operator should know, the gravest first. */
export function findProblems(readings: ProblemReadings): readonly Problem[] {
  const { notReady, upstream } = readings;
  return [
    ...notReady.map((reason) => problem("not_ready", `Not ready: ${reason}`, { severity: "critical" })),
    ...certificateProblems(readings),
    ...upstreamProblems(upstream),
    ...redisProblems(readings),
    ...localProblems(readings),
    ...entryProblems(readings),
    ...eventProblems(readings),
    ...otherProblems(readings),
    ...unexpectedErrors(readings),
  ].sort((a, b) => Number(b.severity === "critical") - Number(a.severity === "critical"));
}

interface ProblemDetails {
  readonly since?: number | undefined;
  readonly detail?: string | undefined;
  readonly severity?: Problem["severity"];
}

function problem(kind: ProblemKind, text: string, { since, detail, severity }: ProblemDetails = {}): Problem {
  return { kind, severity: severity ?? "warning", text, since: toIsoOrNull(since), detail: detail ?? null };
}

function* redisProblems({ backup, redis, now }: ProblemReadings): Iterable<Problem> {
  const { down, refusesWrites } = backup;
  if (down !== undefined) {
    yield problem("redis_down", "Redis can't be used", { since: down.since, detail: down.reason });
  } else if (refusesWrites !== undefined) {
    const text = "Redis takes no writes: the backup there grows old";
    yield problem("redis_refuses_writes", text, ofCondition(refusesWrites));
  } else if (redis?.behind_feeds && (redis.lag_s ?? 0) > PATIENCE_S) {
    const since = now - (redis.lag_s ?? 0) * 1_000;
    yield problem("redis_behind", `Redis lacks the newest version of ${feeds(redis.behind_feeds)}`, {
      since,
    });
  }
  for (const [permission, condition] of backup.missingPermissions) {
    const text = `The Redis user lacks the permission ${permission}`;
    yield problem("redis_permission_missing", text, ofCondition(condition));
  }
}

function* localProblems({ backup, local }: ProblemReadings): Iterable<Problem> {
  const { unusable, lastError } = backup;
  if (unusable !== undefined) {
    const text = "The local backup can't be used: a restart begins with nothing";
    yield problem("local_unusable", text, ofCondition(unusable));
  } else if (local?.state === "failing") {
    const since = local.since === null ? undefined : Date.parse(local.since);
    yield problem("local_failing", "The local backup does not work", { since, detail: lastError?.detail });
  }
}

function* entryProblems({ backup: { unusableEntry }, now }: ProblemReadings): Iterable<Problem> {
  if (unusableEntry === undefined || now - unusableEntry.since > UNUSABLE_SHOWN_MS) return;
  const text = "An entry of the backup can't be used, it is not served";
  yield problem("backup_unusable", text, ofCondition(unusableEntry));
}

const ofCondition = ({ since, reason }: Condition) => ({ since, detail: reason });

function* eventProblems({ flow, events, now }: ProblemReadings): Iterable<Problem> {
  const { eventsDelayed, spoolFailing } = flow;
  if (spoolFailing !== undefined) {
    const text = events.durable
      ? "The event spool can't be written"
      : "The event spool can't be used: events wait in memory and end with the process";
    yield problem("spool_unusable", text, ofCondition(spoolFailing));
  }
  if (eventsDelayed !== undefined && now - eventsDelayed.since > PATIENCE_S * 1_000) {
    const text = "SDK events wait: upstream does not take them";
    yield problem("events_delayed", text, ofCondition(eventsDelayed));
  }
}

function* certificateProblems({ flow, now }: ProblemReadings): Iterable<Problem> {
  const { certificate, certificateRefused } = flow;
  if (certificate !== undefined && certificate.expiresAt - now < WARN_OF_EXPIRY_MS) {
    const isOver = certificate.expiresAt <= now;
    const day = toIsoOrNull(certificate.expiresAt)?.slice(0, 10);
    yield isOver
      ? problem("certificate_expires", `The certificate expired on ${day}`, { severity: "critical" })
      : problem("certificate_expires", `The certificate expires on ${day}`);
  }
  if (certificateRefused !== null) {
    yield problem("certificate_refused", "New certificate files can't be used: the old ones are", {
      since: Date.parse(certificateRefused.at),
      detail: certificateRefused.detail,
    });
  }
}

function* otherProblems({ flow }: ProblemReadings): Iterable<Problem> {
  const { allowedKeysRefused, failingSinks } = flow;
  if (allowedKeysRefused !== undefined) {
    const text = "The new list of allowed SDK keys can't be used: the old one is";
    yield problem("allowed_keys_refused", text, ofCondition(allowedKeysRefused));
  }
  for (const [sink, condition] of failingSinks) {
    yield problem("sink_failing", `Monitoring by ${sink} does not get through`, ofCondition(condition));
  }
}

/** A loop is one as long as it fails; what was done once, for a while. */
function* unexpectedErrors({ flow, now }: ProblemReadings): Iterable<Problem> {
  const { failingLoops, taskFailed } = flow;
  for (const [loop, condition] of failingLoops) {
    const text = `Unexpected errors in ${loop.replaceAll("_", " ")}: it is tried again`;
    yield problem("unexpected_error", text, ofCondition(condition));
  }
  if (taskFailed !== undefined && now - taskFailed.since < UNEXPECTED_SHOWN_MS) {
    yield problem(
      "unexpected_error",
      "An unexpected error happened: the relay goes on",
      ofCondition(taskFailed),
    );
  }
}

const feeds = (count: number): string => (count === 1 ? "1 feed" : `${count} feeds`);
