/** What a folder of src/ may import of ours: folders, and files at the root by their names. */
export interface FolderRule {
  readonly may: readonly string[];
  /** Only by `import type`. */
  readonly mayTypes?: readonly string[];
}

const domain = ["specs", "log-events", "id-lists"];

export const folderRules: Readonly<Record<string, FolderRule>> = {
  gen: { may: [] },
  supervision: { may: ["clock"] },
  specs: { may: ["clock", "supervision", "worker-calls"] },
  "log-events": { may: ["clock", "specs", "supervision", "worker-calls"] },
  "id-lists": { may: ["clock", "specs", "supervision"] },
  upstream: { may: [...domain, "clock"] },
  redis: { may: [...domain, "clock", "libc", "supervision"] },
  local: { may: [...domain, "clock", "supervision", "worker-calls"] },
  tls: { may: ["clock", "file-watch", "supervision", "unreadable"] },
  limits: { may: ["libc", "clock", "tls"] },
  grpc: { may: [...domain, "gen", "clock", "limits", "tls", "trace-context"] },
  http: { may: [...domain, "gen", "clock", "grpc", "libc", "limits", "supervision", "tls", "trace-context"] },
  libc: { may: [] },
  telemetry: {
    may: [...domain, "clock", "libc", "supervision", "trace-context"],
    mayTypes: ["upstream", "redis", "local", "http", "grpc", "limits", "tls"],
  },
  probe: { may: ["gen"] },
  demo: { may: ["gen", "clock"] },
  doctor: {
    may: [
      ...domain,
      "clock",
      "file-watch",
      "limits",
      "redis",
      "supervision",
      "tls",
      "unreadable",
      "upstream",
    ],
  },
  completions: { may: ["options", "positionals", "subcommands"] },
};

/** Root files that only these may import; without a row every root file may. No folder but by its own row. */
export const importersOf: Readonly<Record<string, readonly string[]>> = {
  "relay.ts": ["main.ts", "demo/demo.ts"],
  "main.ts": [],
};

/** Root files that import nothing of ours: whoever needs them gets nothing else with them. */
export const leaves = ["clock.ts", "trace-context.ts", "version.ts", "worker-calls.ts"];

/** In `folder`, one file alone may import these: the place where the one technology meets the other. */
export const oneFileIn = { folder: "http", mayImport: ["grpc", "@connectrpc/", "@bufbuild/protobuf"] };

/** Package (a prefix; the longest that fits counts) -> the folders and root files that may import it. */
export const packageFences: Readonly<Record<string, readonly string[]>> = {
  hono: ["http"],
  "@connectrpc/": ["grpc", "gen", "demo", "http", "probe"],
  "@bufbuild/protobuf": ["grpc", "gen", "demo", "http"],
  // The bare wire reader, without schemas: envelopes are checked before anything else sees them.
  "@bufbuild/protobuf/wire": ["grpc", "gen", "demo", "http", "specs"],
  "@opentelemetry/": ["telemetry"],
  "hot-shots": ["telemetry"],
  "statsig-node": ["telemetry"],
  ioredis: ["redis"],
  citty: ["cli", "help"],
  yaml: ["config-syntax", "print-config"],
  "smol-toml": ["config-syntax"],
};

/** Root files that may read the environment. */
export const environmentReaders = ["main.ts", "cli.ts", "config.ts"];
