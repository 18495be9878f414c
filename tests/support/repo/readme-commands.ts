import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../../scripts/command.ts";

/** Returns the commands in the shell blocks of a page, in order and without comments. With its continuation lines, each is one. */
export function readCommands(page: string): string[] {
  const text = readFileSync(join(root, page), "utf8");
  const blocks = Array.from(
    text.matchAll(/^```(?:sh|bash|shell|console)\b[^\n]*\n(.*?)^```$/gms),
    ([, block = ""]) => block,
  );
  return blocks.flatMap((block) =>
    block
      .replaceAll(/\s*\\\n\s*/g, " ")
      .split("\n")
      .map((line) => line.replace(/(^|\s+)# .*$/, ""))
      .filter((line) => line !== ""),
  );
}
