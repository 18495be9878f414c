import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A situation of docs/operations.md, with its commands. */
export interface StoryText {
  readonly title: string;
  /** The text of each fenced block of shell commands, in order. */
  readonly blocks: readonly string[];
}

const DOCUMENT = fileURLToPath(new URL("../../../docs/operations.md", import.meta.url));
const SECTION = "What to do when";

/** The block that all stories share comes before the first title. */
export const [PRELUDE = "", ...others] = blocksOf(sectionText().split("\n### ")[0] ?? "");
if (PRELUDE === "" || others.length > 0)
  throw new Error(`"${SECTION}" must begin with one block of variables`);

export const STORIES: readonly StoryText[] = sectionText()
  .split("\n### ")
  .slice(1)
  .map((text) => ({ title: text.slice(0, text.indexOf("\n")), blocks: blocksOf(text) }));

function sectionText(): string {
  const document = readFileSync(DOCUMENT, "utf8");
  const section = document.split("\n## ").find((text) => text.startsWith(`${SECTION}\n`));
  if (section === undefined) throw new Error(`docs/operations.md has no section "${SECTION}"`);
  return section;
}

/** Blocks in lists are indented. */
function blocksOf(text: string): string[] {
  return [...text.matchAll(/^( *)```sh\n([\s\S]*?)^\1```$/gm)].map(([, indent = "", block = ""]) =>
    block.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  );
}
