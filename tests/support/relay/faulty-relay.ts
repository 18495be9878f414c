import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FAULT_KEY } from "../common/fault-injection.ts";
import { eventually } from "../common/wait.ts";
import { readMetrics, sumOf } from "../telemetry/metrics-page.ts";
import type { ManagedRelay } from "./managed-relay.ts";

export const KEY = "secret-unexpected";
export const WAIT = { withinMs: 40_000, everyMs: 100 };

/** Checks that the output contains no stack and none of the secrets in the error message. */
export function expectNoSecrets(managed: ManagedRelay): void {
  const text = managed.relay.output();
  expect(text).not.toMatch(/^\s+at /m);
  for (const hidden of [FAULT_KEY, "user:pass", "download_config_specs"]) expect(text).not.toContain(hidden);
}

export const counted = async (managed: ManagedRelay, component: string): Promise<number> =>
  sumOf(await readMetrics(managed.relay), "UnexpectedError_count_total", { component });

export const linesWith = (managed: ManagedRelay, words: string): readonly string[] =>
  managed.relay
    .output()
    .split("\n")
    .filter((line) => line.includes(words));

export const serves = (managed: ManagedRelay, lcut: number): Promise<void> =>
  eventually(async () => {
    const response = await fetch(`${managed.relay.httpUrl}/v2/download_config_specs/${KEY}.json`);
    expect(response.headers.get("x-since-time")).toBe(String(lcut));
  }, WAIT);

export const folderOf = (owned: DisposableStack): string => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-unexpected-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
