import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../relay/relay-process.ts";
import { relayCommand } from "../relay/run-relay.ts";

export interface TracedRelay {
  readonly relay: RelayProcess;
  /** Returns the names of all system calls so far. */
  readonly systemCalls: () => readonly string[];
}

/** Starts a relay under strace, which writes to `folder`. */
export async function startTracedRelay(options: RelayOptions, folder: string): Promise<TracedRelay> {
  const outer = process.env["SFP_TEST_BINARY"];
  const traceFile = join(folder, "trace");
  const wrapper = join(folder, "traced");
  const command = relayCommand()
    .map((word) => `'${word}'`)
    .join(" ");
  // With -D the relay itself is the child process and receives the signals.
  const strace = `strace -D -f -qq -e signal=none -o '${traceFile}'`;
  writeFileSync(wrapper, `#!/bin/sh\nexec ${strace} ${command} "$@"\n`);
  chmodSync(wrapper, 0o755);
  process.env["SFP_TEST_BINARY"] = wrapper;
  try {
    const relay = await startRelayProcess({ ...options, cache: "local" });
    return { relay, systemCalls: () => calledIn(readFileSync(traceFile, "utf8")) };
  } finally {
    if (outer === undefined) delete process.env["SFP_TEST_BINARY"];
    else process.env["SFP_TEST_BINARY"] = outer;
  }
}

function calledIn(trace: string): readonly string[] {
  const names = Array.from(trace.matchAll(/^\d+ +(\w+)\(/gm), ([, name = ""]) => name);
  return [...new Set(names)];
}
