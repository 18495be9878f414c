/** What a folder of src/ may import from other folders of src/, and from files at its root (`version`). */
export interface FolderRule {
  readonly may: readonly string[];
  /** These only with `import type`. */
  readonly mayTypes?: readonly string[];
}

const domain = ["specs", "log-events", "id-lists", "access"];

export const folderRules: Readonly<Record<string, FolderRule>> = {
  gen: { may: [] },
  platform: { may: [] },
  access: { may: ["platform"] },
  specs: { may: ["access", "gen", "platform"] },
  bootstrap: { may: ["access", "platform", "specs"] },
  "log-events": { may: ["access", "platform", "specs"] },
  "id-lists": { may: ["access", "platform", "specs"] },
  upstream: { may: [...domain, "platform"] },
  redis: { may: [...domain, "platform"] },
  sqlite: { may: [...domain, "platform"] },
  spool: { may: [...domain, "platform", "sqlite"] },
  server: { may: ["platform"] },
  streams: { may: [...domain, "platform", "server"] },
  grpc: { may: [...domain, "gen", "platform", "server", "streams"] },
  http: { may: [...domain, "gen", "grpc", "platform", "profiling", "server", "streams"] },
  serving: { may: [...domain, "grpc", "http", "platform", "server", "streams", "telemetry"] },
  control: { may: [...domain, "platform", "serving"], mayTypes: ["grpc", "http", "server", "streams"] },
  telemetry: {
    may: [...domain, "platform"],
    mayTypes: [
      "bootstrap",
      "profiling",
      "upstream",
      "redis",
      "sqlite",
      "spool",
      "http",
      "grpc",
      "server",
      "streams",
    ],
  },
  config: { may: ["access", "platform", "redis", "sqlite", "telemetry"], mayTypes: ["server"] },
  relay: {
    may: [
      ...domain,
      "bootstrap",
      "config",
      "control",
      "grpc",
      "http",
      "platform",
      "profiling",
      "redis",
      "server",
      "serving",
      "spool",
      "sqlite",
      "streams",
      "telemetry",
      "upstream",
      "version",
    ],
  },
  profiling: { may: ["access", "gen", "platform", "specs", "version"] },
  demo: { may: ["gen", "platform"] },
  doctor: {
    may: [
      ...domain,
      "bootstrap",
      "config",
      "gen",
      "platform",
      "profiling",
      "redis",
      "server",
      "telemetry",
      "upstream",
      "version",
    ],
  },
  dump: { may: ["config", "platform"] },
  cli: { may: ["access", "config", "demo", "doctor", "dump", "platform", "telemetry", "version"] },
};

/** File -> the only files that may import it. */
export const importersOf: Readonly<Record<string, readonly string[]>> = {
  "relay/relay.ts": ["main.ts"],
  "main.ts": [],
};

/** Only one file of `folder` may import these: the route that serves the gRPC services on the HTTP port. */
export const oneFileIn = { folder: "http", mayImport: ["grpc", "@connectrpc/", "@bufbuild/protobuf"] };

/** Package -> the folders and files that may import it. A key is a prefix, and the longest matching key applies. */
export const packageFences: Readonly<Record<string, readonly string[]>> = {
  hono: ["http"],
  "@connectrpc/": ["grpc", "gen", "demo", "http", "doctor"],
  "@bufbuild/protobuf": [
    ...["grpc", "gen", "demo", "http", "profiling"],
    // The payload Worker alone loads them.
    ...["specs/deltas/apply.ts", "specs/deltas/compute.ts", "specs/deltas/history.ts"],
  ],
  // The wire reader alone, without schemas: specs checks the envelope of a payload before other code reads it.
  "@bufbuild/protobuf/wire": ["grpc", "gen", "demo", "http", "specs"],
  "@opentelemetry/": ["telemetry"],
  ioredis: ["redis"],
  "google-auth-library": ["profiling/cloud/credentials.ts"],
  "statsig-node": ["profiling/gate/evaluate.ts"],
  citty: ["cli"],
  yaml: ["config/file.ts", "cli/print-config.ts"],
  "smol-toml": ["config/file.ts"],
};

/** Files that may read the environment. */
export const environmentReaders = [
  "main.ts",
  // The variables of proxies, at each request, as Bun's `fetch` does.
  "platform/runtime/deno/requests.ts",
];

/** The only folders that may use what one runtime alone has. Others start Workers by `startWorker`, and ask servers by `sendRequest`. */
export const runtimeFolders: readonly { readonly has: RegExp; readonly folder: string }[] = [
  { has: /^bun|^(?:Worker|fetch)$/i, folder: "platform/runtime/bun/" },
  { has: /^deno|^(?:Worker|fetch)$/i, folder: "platform/runtime/deno/" },
];
