import { fileURLToPath } from "node:url";

/** A preload is code of a test that runs in a relay before the relay's own. This file is loaded with it, by Bun or by Deno. */

const isOnBun = "Bun" in globalThis;

/** Whether this is the main thread of the relay. */
export const isMainThread = isOnBun ? Bun.isMainThread : !("DedicatedWorkerGlobalScope" in globalThis);

/** Returns the variables of a relay that loads the file with this URL first, on its main thread. */
export const preloadEnv = (url: string): Readonly<Record<string, string>> => ({
  BUN_OPTIONS: `--preload=${fileURLToPath(url)}`,
});

/** The variable of a relay whose preload depends on the files of the sources, which an executable does not have. */
export const FROM_SOURCES = "TEST_FROM_SOURCES";

/** Returns the path of the file that {@link preloadEnv} names. Deno has a flag for it, and no variable. */
export const findPreload = (env: Readonly<Record<string, string>>): string | undefined =>
  /^--preload=(.+)$/.exec(env["BUN_OPTIONS"] ?? "")?.[1];

/** Returns the arguments of a Worker that loads the file with this URL before its script. */
export function withPreload(
  url: string,
  script: string | URL,
  options: WorkerOptions = {},
): [script: string | URL, options: WorkerOptions] {
  if (isOnBun) return [script, { ...options, preload: fileURLToPath(url) }];
  const imports = [url, String(script)].map((each) => `import ${JSON.stringify(each)};`);
  return [`data:text/javascript,${encodeURIComponent(imports.join(""))}`, options];
}
