import { bashScript } from "./bash.ts";
import { fishScript } from "./fish.ts";
import { zshScript } from "./zsh.ts";

const SCRIPTS: Readonly<Record<string, () => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** What a shell reads to complete our command line; of one that the command line takes. */
export function completionsFor(shell: string): string {
  return SCRIPTS[shell]?.() ?? "";
}
