import { parseArgs } from "node:util";
import type { Part } from "./bench.ts";

export interface BenchArguments {
  readonly parts: readonly Part[];
  readonly quick: boolean;
  readonly fromSource: boolean;
  /** Folder of another checkout, whose relay some parts measure as well. */
  readonly baseline: string | undefined;
  readonly jsonFile: string | undefined;
}

/** Invalid command line. The message is shown to the user. */
export class ArgumentError extends Error {}

export function readArguments(argv: readonly string[], known: readonly Part[]): BenchArguments {
  const { values, positionals } = parse(argv);
  const names = known.map(({ name }) => name);
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new ArgumentError(`unknown part "${unknown}" (expected ${names.join(", ")})`);
  return {
    parts: positionals.length === 0 ? known : known.filter(({ name }) => positionals.includes(name)),
    quick: values.quick ?? false,
    fromSource: values.source ?? false,
    baseline: values.baseline,
    jsonFile: values.json,
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        quick: { type: "boolean" },
        source: { type: "boolean" },
        json: { type: "string" },
        baseline: { type: "string" },
      },
    });
  } catch (error) {
    throw new ArgumentError(error instanceof Error ? error.message : String(error));
  }
}
