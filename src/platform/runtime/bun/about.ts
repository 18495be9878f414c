import type { Runtime } from "../about.ts";

/** The runtime that runs the relay, and is part of its executable. */
export const RUNTIME: Runtime = { name: "Bun", version: process.versions["bun"] ?? "unknown" };
