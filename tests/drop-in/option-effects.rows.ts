import type { DropInRow } from "../support/drop-in/row.ts";

/** How many of the allowed streams are open, and what the health check says then. */
export type HealthRow = DropInRow & {
  readonly options: readonly string[];
  readonly openStreams: number;
  readonly health: "SERVING" | "NOT_SERVING";
};

const THRESHOLD = "--grpc-ready-endpoint-percentage-of-total-streams-threshold";

const health = (
  original: string,
  [options, openStreams, answer]: readonly [readonly string[], number, HealthRow["health"]],
): HealthRow => ({
  name: [...options, `with ${openStreams} open`].join(" "),
  original,
  ours: "same",
  options,
  openStreams,
  health: answer,
});

export const HEALTH_ROWS: readonly HealthRow[] = [
  health("is ready up to 90 %", [["-g", "10"], 9, "SERVING"]),
  health("is not ready above 90 %", [["-g", "10"], 10, "NOT_SERVING"]),
  health("rounds down", [["-g", "11"], 10, "SERVING"]),
  health("0 allows less than 1 %", [["-g", "10", THRESHOLD, "0"], 1, "NOT_SERVING"]),
  health("0 is ready without streams", [["-g", "10", THRESHOLD, "0"], 0, "SERVING"]),
  health("50 is not ready above 50 %", [["-g", "3", THRESHOLD, "50"], 2, "NOT_SERVING"]),
  health("100 is always ready", [["-g", "1", THRESHOLD, "100"], 1, "SERVING"]),
  health("200 is always ready", [["-g", "1", THRESHOLD, "200"], 1, "SERVING"]),
];

export const NO_STREAMS: DropInRow = {
  name: "-g 0",
  original: "clients can open nothing",
  ours: { does: "streams get RESOURCE_EXHAUSTED", subject: "`--grpc-max-concurrent-streams 0`" },
};

export const NO_DEDUPLICATION: DropInRow = {
  name: "LOG_EVENT_DEDUPE_CACHE_LIMIT=0",
  original: "forwards equal exposures",
  ours: "same",
};

export const FULL_DEDUPLICATION: DropInRow = {
  name: "LOG_EVENT_DEDUPE_CACHE_LIMIT=2, and a third exposure",
  original: "forgets all exposures when it is full",
  ours: { does: "forgets the oldest exposure", subject: "deduplication of exposures" },
};

/** Numbers that a start replaces, with the values in its log line. */
export const REPLACED_ROWS: readonly (DropInRow & {
  readonly setting: string;
  readonly given: string;
  readonly used: string;
})[] = [
  ["--polling-interval-in-s", "0", "1", "polls every second"],
  ["--max-in-flight", "0", "1", "sends one request at a time"],
].map(([setting = "", given = "", used = "", original = ""]) => {
  return { name: `${setting} ${given}`, original, ours: "same" as const, setting, given, used };
});
