import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What the information string of a code block says about its lines. */
export type BlockKind =
  /** Runs as it is. */
  | "shell"
  /** Sets the variables that all others use. */
  | "variables"
  /** Needs a cluster. */
  | "kubernetes"
  /** Needs grpcurl. */
  | "grpcurl";

export interface GuideBlock {
  /** The number of the step, from 1; 0 before the first one. */
  readonly step: number;
  readonly kind: BlockKind;
  readonly text: string;
}

const KINDS: Readonly<Record<string, BlockKind>> = {
  sh: "shell",
  "sh variables": "variables",
  "sh kubernetes": "kubernetes",
  "sh grpcurl": "grpcurl",
};

/** Returns the code blocks under "Swap the image" in docs/migrating.md, in their order. */
export function readGuide(): readonly GuideBlock[] {
  const page = readFileSync(join(import.meta.dir, "../../../docs/migrating.md"), "utf8");
  const from = page.indexOf("\n## Swap the image\n");
  const section = page.slice(from, page.indexOf("\n## ", from + 1));
  let step = 0;
  return Array.from(
    section.matchAll(/^### (\d+)\. |^```(\S.*)\n([\s\S]*?)^```$/gm),
    ([, heading, info, text = ""]): GuideBlock | undefined => {
      if (heading === undefined) return { step, kind: toKind(info), text };
      step = Number(heading);
      return undefined;
    },
  ).filter((block) => block !== undefined);
}

function toKind(info = ""): BlockKind {
  const kind = KINDS[info];
  if (kind === undefined) throw new Error(`docs/migrating.md has a code block of unknown kind "${info}"`);
  return kind;
}

/** Returns the commands of a block, one per line of text, without comments. */
export function commandsIn({ text }: GuideBlock): readonly string[] {
  return text
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.replace(/\s+#.*$/, "").trim())
    .filter((line) => line !== "");
}

/** Returns the names of the variables that a block exports. */
export function variablesIn(block: GuideBlock): readonly string[] {
  return commandsIn(block).flatMap((line) =>
    Array.from(line.matchAll(/([A-Z_]+)=/g), ([, name = ""]) => name),
  );
}
