import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { run } from "../command.ts";
import type { Bundle } from "./bundle.ts";
import { PERMISSIONS } from "./deno-program.ts";

/**
 * Makes an executable of a bundle. Deno downloads the part of it that runs the code from dl.deno.land, unless DENORT_BIN is the path of
 * a `denort` of the same version. Throws if `deno compile` fails.
 */
export async function compileForDeno(
  deno: string,
  { main, workers }: Bundle,
  outfile: string,
): Promise<void> {
  mkdirSync(dirname(outfile), { recursive: true });
  const code = await run([
    ...[deno, "compile", "--no-prompt", "--no-lock", "--no-config", "--no-check", "--unstable-net"],
    ...PERMISSIONS,
    // Deno does not follow the URL of a Worker.
    ...workers.flatMap((path) => ["--include", path]),
    ...["--output", outfile, main],
  ]);
  if (code !== 0) throw new Error(`deno compile exited with code ${code}`);
}
