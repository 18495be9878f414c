import { parseArgs } from "node:util";
import type { Part } from "./bench.ts";

export interface BenchArguments {
  readonly parts: readonly Part[];
  readonly quick: boolean;
  readonly fromSource: boolean;
  readonly jsonFile: string | undefined;
}

/** A wrong command line; the message is for the person who wrote it. */
export class ArgumentError extends Error {}

export function readArguments(argv: readonly string[], known: readonly Part[]): BenchArguments {
  const { values, positionals } = parse(argv);
  const names = known.map(({ name }) => name);
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new ArgumentError(`there is no part "${unknown}", only ${names.join(", ")}`);
  return {
    parts: positionals.length === 0 ? known : known.filter(({ name }) => positionals.includes(name)),
    quick: values.quick ?? false,
    fromSource: values.source ?? false,
    jsonFile: values.json,
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { quick: { type: "boolean" }, source: { type: "boolean" }, json: { type: "string" } },
    });
  } catch (error) {
    throw new ArgumentError(error instanceof Error ? error.message : String(error));
  }
}
