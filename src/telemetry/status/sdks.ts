import type { Clock } from "../../platform/clock.ts";
import { OTHER } from "../metrics/registry.ts";
import { toIso } from "./schema.ts";
import type { SdkStatus } from "./schema-traffic.ts";

/** Requests of one SDK over one protocol, counted by a serving thread. Type and version are well-formed. */
export interface CountedSdk {
  readonly type: string;
  readonly version: string;
  readonly protocol: "http" | "https" | "grpc";
  readonly count: number;
}

/** What is counted beyond the limits, or sends malformed names. */
export const OTHER_SDK = { type: OTHER, version: "" } as const;

/** Without the row of all others. */
const MAX_ROWS = 50;

const MINUTE_MS = 60_000;

const SHOWN_MINUTES = 5;

/** A row gives its place to another SDK if it was not seen for this time. */
const REPLACED_AFTER_MS = 10 * MINUTE_MS;

const FORGOTTEN_AFTER_MS = 24 * 60 * MINUTE_MS;

interface Row {
  readonly type: string;
  readonly version: string;
  readonly protocols: Set<CountedSdk["protocol"]>;
  /** Requests by minute, the latest {@link SHOWN_MINUTES}; what is older is overwritten. */
  readonly minutes: { minute: number; count: number }[];
  total: number;
  /** When the last request came, by `Clock.elapsed`. */
  seen: number;
}

/** Which SDKs ask the relay. The number of rows is limited, since clients can send any names. */
export class SdkTable {
  readonly #clock: Clock;
  readonly #rows = new Map<string, Row>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds what a serving thread counted. */
  merge(all: readonly CountedSdk[]): void {
    for (const counted of all) this.#add(counted);
  }

  /** Returns the SDKs of the last 24 h, those with the most requests in the last minutes first. */
  read(): readonly SdkStatus[] {
    const now = this.#clock.elapsed();
    for (const [id, { seen }] of this.#rows) if (now - seen > FORGOTTEN_AFTER_MS) this.#rows.delete(id);
    const rows = Array.from(this.#rows.values(), (row) => this.#format(row, now));
    return rows.sort((a, b) => b.requests_5_min - a.requests_5_min || b.requests - a.requests);
  }

  #format({ type, version, protocols, minutes, total, seen }: Row, now: number): SdkStatus {
    const from = toMinute(now) - SHOWN_MINUTES;
    return {
      type,
      version: version === "" ? null : version,
      language: languageOf(type),
      protocols: [...protocols].sort(),
      requests: total,
      requests_5_min: minutes.reduce((sum, { minute, count }) => (minute > from ? sum + count : sum), 0),
      last_seen_at: toIso(this.#clock.now() - (now - seen)),
    };
  }

  #add({ type, version, protocol, count }: CountedSdk): void {
    const row = this.#find(type, version) ?? this.#find(OTHER_SDK.type, OTHER_SDK.version);
    if (row === undefined) return;
    const now = this.#clock.elapsed();
    const minute = toMinute(now);
    row.protocols.add(protocol);
    row.total += count;
    row.seen = now;
    const at = minute % SHOWN_MINUTES;
    const last = row.minutes[at];
    if (last?.minute === minute) last.count += count;
    else row.minutes[at] = { minute, count };
  }

  /** Returns undefined if there is no room for another row. The row of others always has room. */
  #find(type: string, version: string): Row | undefined {
    const id = `${type} ${version}`;
    const known = this.#rows.get(id);
    if (known !== undefined) return known;
    if (type !== OTHER_SDK.type && this.#rows.size >= MAX_ROWS && !this.#makeRoom()) return undefined;
    const row = { type, version, protocols: new Set<never>(), minutes: [], total: 0, seen: 0 };
    this.#rows.set(id, row);
    return row;
  }

  #makeRoom(): boolean {
    const others = [...this.#rows].filter(([, { type }]) => type !== OTHER_SDK.type);
    if (others.length < MAX_ROWS) return true;
    const [id, { seen }] = others.reduce((a, b) => (b[1].seen < a[1].seen ? b : a)) as [string, Row];
    if (this.#clock.elapsed() - seen < REPLACED_AFTER_MS) return false;
    return this.#rows.delete(id);
  }
}

const toMinute = (elapsedMs: number): number => Math.floor(elapsedMs / MINUTE_MS);

/** What parts of the names of Statsig's SDKs say about their language. */
const LANGUAGES: Readonly<Record<string, string>> = {
  node: "Node.js",
  nodejs: "Node.js",
  js: "JavaScript",
  javascript: "JavaScript",
  py: "Python",
  python: "Python",
  java: "Java",
  kotlin: "Kotlin",
  go: "Go",
  ruby: "Ruby",
  rust: "Rust",
  php: "PHP",
  dotnet: ".NET",
  elixir: "Elixir",
  erlang: "Erlang",
  cpp: "C++",
  swift: "Swift",
};

/** Returns null if the name says nothing about it. */
function languageOf(type: string): string | null {
  for (const part of type
    .toLowerCase()
    .split(/[^a-z]+/)
    .reverse()) {
    const language = LANGUAGES[part];
    if (language !== undefined) return language;
  }
  return null;
}
