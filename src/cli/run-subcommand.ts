import { withConfigFile } from "../config/file.ts";
import type { Environment, GivenConfig } from "../config/settings.ts";
import type { SubcommandName } from "./subcommands.ts";

/** A subcommand as it was asked for. */
export interface GivenSubcommand {
  readonly name: SubcommandName;
  /** The words behind it. */
  readonly words: readonly string[];
  /** Its own options are among the values. */
  readonly given: GivenConfig;
}

export type Announce = (listeners: readonly { readonly protocol: string; readonly url: string }[]) => void;

interface SubcommandPorts {
  readonly env: Environment;
  /** For people. */
  readonly print: (text: string) => void;
  /** Runs a relay until it is stopped; gives its exit code. */
  readonly serve: (given: GivenConfig, env: Environment, announce: Announce) => Promise<number>;
}

/** Gives the exit code. Each subcommand is loaded only when it is asked for. */
export async function runSubcommand(
  { name, given, words }: GivenSubcommand,
  { env, print, serve }: SubcommandPorts,
): Promise<number> {
  switch (name) {
    case "demo": {
      const { runDemo } = await import("../demo/demo.ts");
      const demo: GivenConfig = {
        ...(await withConfigFile(given, env)),
        mode: "grpc-and-http",
        cache: "local",
      };
      return await runDemo((added, announce) => serve(demo, { ...env, ...added }, announce));
    }
    case "healthcheck": {
      const { checkHealth } = await import("../doctor/healthcheck.ts");
      const { isReady, text } = await checkHealth(given, env);
      print(text);
      return isReady ? 0 : 1;
    }
    case "doctor": {
      const { examine } = await import("../doctor/doctor.ts");
      const asJson = given.values.get("json") === "true";
      return (await examine(given, env, { print, asJson })) ? 0 : 1;
    }
    case "completions": {
      const { completionScript } = await import("./completions.ts");
      print(completionScript(words[0] ?? ""));
      return 0;
    }
  }
}
