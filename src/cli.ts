import { type ArgsDef, type CommandDef, defineCommand, runCommand } from "citty";
import type { GivenConfig } from "./config.ts";
import { helpText } from "./help.ts";
import { ALL_OPTIONS, NAME, OPTIONS } from "./options.ts";
import { readStrictArgs, UsageError } from "./strict-args.ts";
import { VERSION_LINE } from "./version.ts";

/** What a command line asks for. */
export type Invocation =
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "relay"; readonly given: GivenConfig }
  /** The relay with the bundled sample upstream. */
  | { readonly kind: "demo"; readonly given: GivenConfig };

/** Understands a command line. Throws {@link UsageError}. */
export async function readInvocation(argv: readonly string[]): Promise<Invocation> {
  const { values, positionals } = readStrictArgs(argv, ALL_OPTIONS);
  if (values.has("help")) return { kind: "print", text: await helpText() };
  if (values.has("version")) return { kind: "print", text: `${NAME} ${VERSION_LINE}` };
  const isDemo = positionals[0] === "demo";
  const extra = positionals[isDemo ? 1 : 2];
  if (extra !== undefined) {
    const allowed = isDemo ? "demo takes options only" : "allowed are one MODE and one CACHE";
    throw new UsageError(`unexpected argument "${extra}": ${allowed}`);
  }
  const canonical = [...values].map(([name, value]) => `--${name}=${value}`);
  const taken = Promise.withResolvers<Invocation>();
  const command = isDemo ? demoCommand(taken.resolve) : relayCommand(taken.resolve);
  await runCommand(command, { rawArgs: [...canonical, ...(isDemo ? [] : positionals)] });
  return taken.promise;
}

type Take = (invocation: Invocation) => void;

function relayCommand(take: Take): CommandDef<ArgsDef> {
  const args: ArgsDef = {
    mode: { type: "positional", required: false },
    cache: { type: "positional", required: false },
    ...optionArgs(),
  };
  return defineCommand({
    meta: { name: NAME },
    args,
    run: ({ args }) =>
      take({
        kind: "relay",
        given: { mode: text(args["mode"]), cache: text(args["cache"]), values: valuesOf(args) },
      }),
  });
}

function demoCommand(take: Take): CommandDef<ArgsDef> {
  return defineCommand({
    meta: { name: "demo" },
    args: optionArgs(),
    run: ({ args }) =>
      take({
        kind: "demo",
        given: { mode: "grpc-and-http", cache: "local", values: valuesOf(args) },
      }),
  });
}

/** Texts only: what they mean, and the defaults, is for the configuration to say. */
function optionArgs(): ArgsDef {
  const args: ArgsDef = {};
  for (const { name } of OPTIONS) args[name] = { type: "string" };
  return args;
}

function valuesOf(args: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const { name } of OPTIONS) {
    const value = text(args[name]);
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
