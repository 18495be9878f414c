import type { DropInRow } from "../support/drop-in/row.ts";

/** What a command line leads to. */
type Outcome =
  /** A line of `--print-config`, without the source of the value. */
  | { readonly prints: string }
  /** Exit code 2, and what the line on standard error contains. */
  | { readonly refuses: string }
  /** Exit code 0, and what the output contains. */
  | { readonly shows: string };

export type CommandRow = DropInRow & {
  /** Options; MODE and CACHE are `http disabled`. */
  readonly options?: readonly string[];
  /** The whole command line instead. */
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly outcome: Outcome;
};

const differs = (subject: string, does: string) => ({ does, subject });

/** How both take a number that is the least or the largest of its type. */
interface Extreme {
  readonly original: string;
  readonly used: number;
  /** The row of docs/migrating.md; undefined if the relay does the same. */
  readonly subject?: string;
}

interface NumberOption {
  readonly name: string;
  readonly short?: string;
  readonly default?: number;
  /** The default of this project, if it differs. */
  readonly ownDefault?: number;
  /** The main name of the option, if this one is an alias. */
  readonly printedAs?: string;
  readonly type: "u16" | "u32" | "u64" | "i64";
  readonly zero: Extreme;
  readonly largest: Extreme;
}

const RANGE = "numbers out of range";
const DELTAS = "deltas";
const noDeltas = { original: "any number", subject: DELTAS };

const NUMBERS: readonly NumberOption[] = [
  {
    name: "maximum-concurrent-sdk-keys",
    short: "m",
    default: 1000,
    type: "u16",
    zero: { original: "ignored", used: 1000, subject: "`--maximum-concurrent-sdk-keys`" },
    largest: { original: "ignored", used: 65_535, subject: "`--maximum-concurrent-sdk-keys`" },
  },
  {
    name: "polling-interval-in-s",
    short: "p",
    default: 10,
    type: "u64",
    zero: { original: "1 s", used: 1 },
    largest: { original: "no second poll", used: 86_400, subject: RANGE },
  },
  {
    name: "max-in-flight",
    short: "u",
    default: 64,
    type: "u64",
    zero: { original: "1", used: 1 },
    largest: { original: "no limit", used: 10_000, subject: RANGE },
  },
  {
    name: "redis-leader-key-ttl",
    short: "r",
    default: 70,
    type: "i64",
    zero: { original: "every write to Redis fails", used: 1, subject: RANGE },
    largest: { original: "every write to Redis fails", used: 86_400, subject: RANGE },
  },
  {
    name: "redis-cache-ttl-in-s",
    default: 86_400,
    type: "i64",
    zero: { original: "each entry expires at once", used: 1, subject: RANGE },
    largest: { original: "every write to Redis fails", used: 31_536_000, subject: RANGE },
  },
  {
    name: "log-event-process-queue-size",
    default: 20_000,
    type: "u64",
    zero: { original: "ignored", used: 20_000, subject: "`--log-event-process-queue-size`" },
    largest: { original: "ignored", used: 10_000_000, subject: "`--log-event-process-queue-size`" },
  },
  {
    name: "grpc-max-concurrent-streams",
    short: "g",
    default: 500,
    type: "u32",
    zero: { original: "clients can open nothing", used: 0, subject: "`--grpc-max-concurrent-streams 0`" },
    largest: { original: "no limit", used: 1_000_000, subject: RANGE },
  },
  {
    name: "grpc-ready-endpoint-percentage-of-total-streams-threshold",
    default: 90,
    type: "u64",
    zero: { original: "not ready from 1 % on", used: 0 },
    largest: { original: "always ready", used: 100 },
  },
  {
    name: "redis-connection-timeout-in-s",
    default: 5,
    type: "u64",
    zero: { original: "ends at the start", used: 1, subject: RANGE },
    largest: { original: "no limit", used: 300, subject: RANGE },
  },
  {
    name: "deltas-background-loop-sleep-time-in-s",
    type: "u64",
    zero: { ...noDeltas, used: 0 },
    largest: { ...noDeltas, used: Number.MAX_SAFE_INTEGER },
  },
  {
    name: "deltas-num-responses-to-persist",
    printedAs: "delta-history",
    default: 20,
    ownDefault: 16,
    type: "u64",
    zero: { ...noDeltas, used: 0 },
    largest: { original: "any number", used: 1_000, subject: RANGE },
  },
];

const LARGEST = { u16: 2n ** 16n - 1n, u32: 2n ** 32n - 1n, u64: 2n ** 64n - 1n, i64: 2n ** 63n - 1n };

function rowsOfNumber(option: NumberOption): CommandRow[] {
  const { name, short, default: byDefault, type, zero, largest, printedAs = name } = option;
  const usedByDefault = option.ownDefault ?? byDefault;
  const isOf = name.startsWith("deltas")
    ? differs(DELTAS, "has another meaning, or none")
    : ("same" as const);
  const spelled = [
    ["--name value", [`--${name}`, "7"]],
    ["--name=value", [`--${name}=7`]],
    ["--name=+value", [`--${name}=+7`]],
    ...(short === undefined
      ? []
      : ([
          ["-x value", [`-${short}`, "7"]],
          ["-xvalue", [`-${short}7`]],
          ["-x=value", [`-${short}=7`]],
        ] as const)),
  ] as const;
  const extreme = (options: readonly string[], { original, used, subject }: Extreme): CommandRow => ({
    name: options.join(" "),
    original,
    ours: subject === undefined ? "same" : differs(subject, `takes ${used}`),
    options,
    outcome: { prints: `${printedAs}: ${used}` },
  });
  const refused = (value: string): CommandRow => ({
    name: `--${name} ${value}`,
    original: "exit code 2",
    ours: "same",
    options: [`--${name}=${value}`],
    outcome: { refuses: `invalid value "${value}" for --${printedAs}` },
  });
  return [
    {
      name: `--${name}`,
      original: byDefault === undefined ? "has no default" : `is ${byDefault} by default`,
      ours: isOf,
      options: [],
      outcome: {
        prints: usedByDefault === undefined ? `# ${name} is not set` : `${printedAs}: ${usedByDefault}`,
      },
    },
    ...spelled.map(([form, options]): CommandRow => {
      return {
        name: `--${name}`,
        original: `is read as ${form}`,
        ours: isOf,
        options,
        outcome: { prints: `${printedAs}: 7` },
      };
    }),
    extreme([`--${name}`, "0"], zero),
    extreme([`--${name}`, String(LARGEST[type])], largest),
    ...(type === "i64" ? [extreme([`--${name}=-5`], zero)] : []),
    refused("ten"),
    // The relay allows more SDK keys than the original.
    ...(type === "u16" ? [] : [refused(String(LARGEST[type] + 1n))]),
    ...(type === "i64" ? [] : [refused("-1")]),
  ];
}

const KEY = { STATSIG_SERVER_SDK_KEY: "secret-0123456789" };

const NO_EFFECT = "takes it without effect";

const FLAGS: readonly (readonly [name: string, subject?: string, does?: string])[] = [
  ["double-write-cache-for-legacy-key"],
  ["datadog-logging"],
  ["statsd-logging"],
  ["otlp-logging"],
  ["statsig-logging"],
  ["debug-logging"],
  ["clear-datastore-on-unauthorized"],
  ["force-gcp-profiling-enabled", "Google Cloud profiler", "sends profiles to the project of the operator"],
  ["deltas-background-loop-enabled", DELTAS, "asks for deltas with the polls of config specs"],
];

const flagRows = FLAGS.flatMap(([name, subject, does = NO_EFFECT]): CommandRow[] => {
  const ours = subject === undefined ? "same" : differs(subject, does);
  const row = { name: `--${name}`, ours, env: KEY } as const;
  return [
    { ...row, original: "is off by default", options: [], outcome: { prints: `${name}: false` } },
    { ...row, original: "is a bare flag", options: [`--${name}`], outcome: { prints: `${name}: true` } },
  ];
});

const row = (
  original: string,
  argv: readonly string[],
  outcome: Outcome,
  ours: DropInRow["ours"] = "same",
): CommandRow => ({ name: argv.join(" ") || "no arguments", original, argv, outcome, ours });

const wordRows: readonly CommandRow[] = [
  ...["grpc-and-http", "grpc", "http"].map((mode) =>
    row("serves it", [mode, "disabled"], { prints: `mode: ${mode}` }),
  ),
  row("uses Redis", ["http", "redis"], { prints: "cache: redis" }),
  row(
    "uses memory (1.x)",
    ["http", "local"],
    { prints: "cache: local" },
    differs("CACHE `local`", "uses SQLite"),
  ),
  row("options may come first", ["-p", "7", "http", "disabled"], { prints: "polling-interval-in-s: 7" }),
  row("options may come between", ["http", "-p7", "disabled"], { prints: "polling-interval-in-s: 7" }),
  row("-- ends the options", ["-p=7", "--", "http", "disabled"], { prints: "polling-interval-in-s: 7" }),
  row("exit code 2", [], { refuses: "missing <MODE>" }),
  // Examples of its docs/monitoring.md, which lack CACHE.
  row("exit code 2", ["http", "--debug-logging"], { refuses: "missing <CACHE>" }),
  row("exit code 2", ["http", "--statsd-logging"], { refuses: "missing <CACHE>" }),
  row(
    "exit code 2",
    ["HTTP", "disabled"],
    { prints: "mode: http" },
    differs("words in upper case", "takes them"),
  ),
  row("exit code 2", ["http", "memcached"], { refuses: 'invalid value "memcached" for <CACHE>' }),
  row("exit code 2", ["http", "disabled", "more"], { refuses: 'unexpected argument "more"' }),
  row("exit code 2", ["http", "disabled", "-p"], { refuses: "missing value for -p" }),
  row("exit code 2", ["http", "disabled", "-p", "5", "-p6"], { refuses: "-p is given more than once" }),
  row("exit code 2", ["http", "disabled", "-u1", "--update-batch-size=2"], {
    refuses: "is given more than once",
  }),
  row("exit code 2", ["http", "disabled", "--debug-logging", "--debug-logging"], {
    refuses: "more than once",
  }),
  row("exit code 2", ["http", "disabled", "--force_gcp_profiling_enabled"], { refuses: "unknown option" }),
  row("exit code 2", ["http", "disabled", "--statsig-logging"], { refuses: "STATSIG_SERVER_SDK_KEY" }),
  row("exit code 2", ["http", "disabled", "--statsig-logging-tags", "env"], { refuses: "NAME:VARIABLE" }),
  row("prints help", ["--help"], { shows: "--max-in-flight" }),
  row("prints help", ["http", "-h"], { shows: "--polling-interval-in-s" }),
  row("prints its version", ["--version"], { shows: "statsig-forward-proxy" }),
  row("prints its version", ["-V"], { shows: "statsig-forward-proxy" }),
];

const TAGS: readonly (readonly [form: string, options: readonly string[], value: string])[] = [
  ["a pair", ["--statsig-logging-tags", "env:DD_ENV"], "env:DD_ENV"],
  ["a list", ["--statsig-logging-tags=env:DD_ENV,a:B"], "env:DD_ENV,a:B"],
  ["several times", ["--statsig-logging-tags", "a:B", "--statsig-logging-tags", "c:D"], "a:B,c:D"],
  ["an empty variable", ["--statsig-logging-tags", "a:"], '"a:"'],
  ["an empty name", ["--statsig-logging-tags", ":B"], ":B"],
];

const otherRows: readonly CommandRow[] = [
  ...["16", "1"].map((value): CommandRow => {
    const options = ["--update-batch-size", value];
    const original = "is another name of --max-in-flight";
    return {
      name: options.join(" "),
      original,
      ours: "same",
      options,
      outcome: { prints: `max-in-flight: ${value}` },
    };
  }),
  {
    name: "--clear-external-datastore-on-unauthorized",
    original: "cleared only Redis (1.x)",
    ours: differs("`--clear-external-datastore-on-unauthorized`", "clears memory as well"),
    options: ["--clear-external-datastore-on-unauthorized"],
    outcome: { prints: "clear-datastore-on-unauthorized: true" },
  },
  ...TAGS.map(([form, options, value]): CommandRow => {
    const outcome = { prints: `statsig-logging-tags: ${value}` };
    return { name: "--statsig-logging-tags", original: `takes ${form}`, ours: "same", options, outcome };
  }),
];

export const COMMAND_ROWS: readonly CommandRow[] = [
  ...NUMBERS.flatMap(rowsOfNumber),
  ...flagRows,
  ...wordRows,
  ...otherRows,
];
