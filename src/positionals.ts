import type { OptionSpec } from "./option-spec.ts";

export const MODES = ["grpc-and-http", "grpc", "http"] as const;
export type Mode = (typeof MODES)[number];

export const CACHES = ["disabled", "local", "redis"] as const;
export type Cache = (typeof CACHES)[number];

/** What a command line has as words without a name; in a file and in the environment they have one. */
export const POSITIONALS = [
  { name: "mode", kind: "text", words: MODES, description: "What to serve" },
  { name: "cache", kind: "text", words: CACHES, description: "Where to keep a backup" },
] as const satisfies readonly OptionSpec[];

export type PositionalName = (typeof POSITIONALS)[number]["name"];
