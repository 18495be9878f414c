import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { findAnchors, findLinks, type Reference } from "./markdown.ts";
import { type ProjectFile, readProjectFiles } from "./project-files.ts";

const URL = /\bhttps?:\/\/[^\s"'`)>]+/g;
/** In code, only names like README.md and paths like docs/redis.md are documents: others may be sample data. */
const CITED_IN_CODE = /(?<![\w./${}-])((?:(?:\.\.?\/)*docs\/[\w/-]+|[A-Z]{2,})\.md(?:#[\w-]+)?)/g;
const CITED_IN_DOCS = /(?<![\w./${}-])((?:\.\.?\/)*[\w/-]+\.md(?:#[\w-]+)?)/g;
/** Sections of a document that is not part of the project, as the wire contract was once cited. */
const WIRE_SECTION = /\bWIRE \d/;

/**
 * Checks that every document that the files of the project cite exists, and that relative links and anchors of Markdown
 * documents resolve. Returns one line per reference that does not.
 */
export async function findCitationProblems(root: string): Promise<string[]> {
  const files = await readProjectFiles(root);
  const anchorsOf = new Map(
    files.filter(isMarkdown).map(({ path, text }) => [path, findAnchors(text)] as const),
  );

  /** Returns what is wrong with the target, or undefined if it resolves from one of the folders. */
  function check(target: string, folders: readonly string[], from: string): string | undefined {
    const [path = "", anchor] = target.split("#");
    const candidates = path === "" ? [from] : folders.map((folder) => toPath(folder, path));
    const found = candidates.find((candidate) => existsSync(join(root, candidate)));
    if (found === undefined) return `${path} does not exist`;
    const anchors = anchorsOf.get(found);
    if (!anchor || anchors === undefined || anchors.has(anchor)) return undefined;
    return `${found} has no heading for #${anchor}`;
  }

  return files.flatMap((file) => {
    const folder = posix.dirname(file.path);
    const links = isMarkdown(file) ? findLinks(file.text).filter(isRelative) : [];
    const describe = ({ target, line }: Reference, folders: readonly string[]) => {
      const problem = check(target, folders, file.path);
      return problem === undefined ? [] : [`${file.path}:${line}: ${problem}`];
    };
    const problems = [
      ...links.flatMap((link) => describe(link, [folder])),
      ...findCited(file).flatMap((cited) => describe(cited, [folder, "."])),
      ...findWireSections(file),
    ];
    return [...new Set(problems)];
  });
}

const isMarkdown = ({ path }: ProjectFile) => path.endsWith(".md");
const isRelative = ({ target }: Reference) => !/^[a-z][a-z\d+.-]*:/i.test(target);
const toPath = (folder: string, path: string) =>
  path.startsWith("/") ? path.slice(1) : posix.join(folder, decodeURIComponent(path));

function findCited(file: ProjectFile): Reference[] {
  const pattern = isMarkdown(file) ? CITED_IN_DOCS : CITED_IN_CODE;
  return file.text
    .split("\n")
    .flatMap((text, at) =>
      Array.from(text.replace(URL, "").matchAll(pattern), ([, target = ""]) => ({ target, line: at + 1 })),
    );
}

function findWireSections({ path, text }: ProjectFile): string[] {
  return text
    .split("\n")
    .flatMap((line, at) =>
      WIRE_SECTION.test(line) ? [`${path}:${at + 1}: WIRE is not a document, cite docs/protocol.md`] : [],
    );
}
