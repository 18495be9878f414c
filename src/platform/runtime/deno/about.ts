/** The runtime that runs the relay, and is part of its executable. */
export const RUNTIME = { name: "Deno", version: Deno.version.deno } as const;
