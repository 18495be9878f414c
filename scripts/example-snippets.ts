// The programs in docs/active-mode.md, from examples/: what is shown is what the tests run.
import { join } from "node:path";
import { root } from "./command.ts";

const DOCUMENT = join(root, "docs/active-mode.md");
const SNIPPET = /(<!-- by `bun run gen`, from (examples\/\S+\.mjs) -->\n)[\s\S]*?(<!-- up to here -->)/g;

/** Puts the programs into the document. */
export async function writeExampleSnippets(): Promise<void> {
  await Bun.write(DOCUMENT, await withSnippets(await Bun.file(DOCUMENT).text()));
}

/** Whether the document shows the programs as they are. */
export async function exampleSnippetsAreCurrent(): Promise<boolean> {
  const document = await Bun.file(DOCUMENT).text();
  if (document === (await withSnippets(document))) return true;
  console.error("docs/active-mode.md shows other programs than examples/: run `bun run gen`");
  return false;
}

async function withSnippets(document: string): Promise<string> {
  const paths = [...document.matchAll(SNIPPET)].map(([, , path = ""]) => path);
  if (paths.length === 0) throw new Error("docs/active-mode.md has no place for any program");
  const texts = await Promise.all(paths.map((path) => Bun.file(join(root, path)).text()));
  const textOf = new Map(paths.map((path, at) => [path, texts[at]]));
  return document.replace(SNIPPET, (_, start: string, path: string, end: string) => {
    return `${start}\n\`\`\`js\n${textOf.get(path)?.trim()}\n\`\`\`\n\n${end}`;
  });
}
