// Copies the programs of examples/ into docs/active-mode.md, so that the docs show what the tests run.
import { join } from "node:path";
import { root } from "../command.ts";

const DOCUMENT = join(root, "docs/active-mode.md");
const SNIPPET = /(<!-- by `bun run gen`, from (examples\/\S+\.mjs) -->\n)[\s\S]*?(<!-- up to here -->)/g;

/** Replaces the programs in docs/active-mode.md. */
export async function writeExampleSnippets(): Promise<void> {
  await Bun.write(DOCUMENT, await withSnippets(await Bun.file(DOCUMENT).text()));
}

/** Returns a problem if docs/active-mode.md differs from examples/. */
export async function findStaleExampleSnippets(): Promise<string[]> {
  const document = await Bun.file(DOCUMENT).text();
  if (document === (await withSnippets(document))) return [];
  return ["docs/active-mode.md does not match the programs in examples/: run `npm run gen`"];
}

async function withSnippets(document: string): Promise<string> {
  const paths = [...document.matchAll(SNIPPET)].map(([, , path = ""]) => path);
  if (paths.length === 0)
    throw new Error(
      "docs/active-mode.md has no place for programs (expected <!-- by `bun run gen`, from examples/… -->)",
    );
  const texts = await Promise.all(paths.map((path) => Bun.file(join(root, path)).text()));
  const textOf = new Map(paths.map((path, at) => [path, texts[at]]));
  return document.replace(SNIPPET, (_, start: string, path: string, end: string) => {
    return `${start}\n\`\`\`js\n${textOf.get(path)?.trim()}\n\`\`\`\n\n${end}`;
  });
}
