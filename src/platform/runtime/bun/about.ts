/** The runtime that runs the relay, and is part of its executable. */
export const RUNTIME = { name: "Bun", version: process.versions["bun"] ?? "unknown" } as const;
