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

/** Resolves with the exit code. A subcommand is loaded only when it is run. */
export async function runSubcommand(
  { name, given, words }: GivenSubcommand,
  { env, print, serve }: SubcommandPorts,
): Promise<number> {
  switch (name) {
    case "demo": {
      const { runRelayDemo } = await import("./run-demo.ts");
      return await runRelayDemo(given, { env, serve });
    }
    case "offline": {
      const { withConfigFile } = await import("../config/file.ts");
      const settings = await withConfigFile(given, env);
      const values = new Map([...settings.values, ["offline", "true"]]);
      return await serve({ ...settings, values }, env, () => {});
    }
    case "dump": {
      const { runDump } = await import("../dump/dump.ts");
      return (await runDump(given, env, print)) ? 0 : 1;
    }
    case "healthcheck": {
      const { checkHealth } = await import("../doctor/healthcheck.ts");
      const { isReady, text } = await checkHealth(given, env);
      print(text);
      return isReady ? 0 : 1;
    }
    case "doctor": {
      const { runDoctor } = await import("../doctor/doctor.ts");
      const asJson = given.values.get("json") === "true";
      return (await runDoctor(given, env, { print, asJson })) ? 0 : 1;
    }
    case "completions": {
      const { formatCompletionScript } = await import("./completions.ts");
      print(formatCompletionScript(words[0] ?? ""));
      return 0;
    }
  }
}
