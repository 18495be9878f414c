import { type CommandDef, defineCommand, runCommand } from "citty";
import { NAME } from "../config/options.ts";
import type { Environment, GivenConfig } from "../config/settings.ts";
import type { Announce } from "../demo/demo.ts";
import type { SubcommandName } from "./subcommands.ts";

/** A subcommand as it was given on the command line. */
export interface GivenSubcommand {
  readonly name: SubcommandName;
  /** The positional arguments after its name. */
  readonly words: readonly string[];
  /** Includes the options that only the subcommand has. */
  readonly given: GivenConfig;
}

interface SubcommandPorts {
  readonly env: Environment;
  readonly print: (text: string) => void;
  /** Runs a relay until it is stopped, and resolves with its exit code. */
  readonly serve: (given: GivenConfig, env: Environment, announce: Announce) => Promise<number>;
}

/** What a subcommand does; returns the exit code. It loads its code only when it is run. */
type RunSubcommand = (
  given: GivenConfig,
  ports: SubcommandPorts,
  words: readonly string[],
) => Promise<number>;

const RUNS: Readonly<Record<SubcommandName, RunSubcommand>> = {
  demo: async (given, { env, serve }) => {
    const { runRelayDemo } = await import("./run-demo.ts");
    return await runRelayDemo(given, { env, serve });
  },
  offline: async (given, { env, serve }) => {
    const { withConfigFile } = await import("../config/file.ts");
    const settings = await withConfigFile(given, env);
    const values = new Map([...settings.values, ["offline", "true"]]);
    return await serve({ ...settings, values }, env, () => {});
  },
  dump: async (given, { env, print }) => {
    const { runDump } = await import("../dump/dump.ts");
    return (await runDump(given, env, print)) ? 0 : 1;
  },
  healthcheck: async (given, { env, print }) => {
    const { checkHealth } = await import("../doctor/healthcheck.ts");
    const { isReady, text } = await checkHealth(given, env);
    print(text);
    return isReady ? 0 : 1;
  },
  doctor: async (given, { env, print }) => {
    const { runDoctor } = await import("../doctor/doctor.ts");
    const asJson = given.values.get("json") === "true";
    return (await runDoctor(given, env, { print, asJson })) ? 0 : 1;
  },
  completions: async (_given, { print }, words) => {
    const { formatCompletionScript } = await import("./completions.ts");
    print(formatCompletionScript(words[0] ?? ""));
    return 0;
  },
};

/** Runs a subcommand whose arguments `parse.ts` has checked. Resolves with the exit code. */
export async function runSubcommand(
  { name, given, words }: GivenSubcommand,
  ports: SubcommandPorts,
): Promise<number> {
  let exitCode = 0;
  const toCommand = (run: RunSubcommand): CommandDef =>
    defineCommand({
      run: async () => {
        exitCode = await run(given, ports, words);
      },
    });
  const subCommands = Object.fromEntries(Object.entries(RUNS).map(([each, run]) => [each, toCommand(run)]));
  await runCommand(defineCommand({ meta: { name: NAME }, subCommands }), { rawArgs: [name] });
  return exitCode;
}
