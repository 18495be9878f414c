/** A link of a Markdown document, or a document that any text cites. */
export interface Reference {
  readonly target: string;
  /** Counted from 1. */
  readonly line: number;
}

const FENCE = /^\s*(?:```|~~~)/;
const INLINE_CODE = /(`+)(?!`).*?\1/g;
const LINK = /\]\(\s*<?([^()\s<>]+)>?[^()]*\)/g;
const LINK_DEFINITION = /^\s*\[[^\]]+\]:\s*(\S+)/;
const HEADING = /^#{1,6}\s+(.*?)\s*#*$/;
const EXPLICIT_ANCHOR = /<a\s+(?:id|name)="([^"]+)"/g;

/** Returns the lines of a document with empty lines for its code blocks, so that line numbers stay. */
export function withoutCodeBlocks(text: string): string[] {
  let isCode = false;
  return text.split("\n").map((line) => {
    const isFence = FENCE.test(line);
    if (isFence) isCode = !isCode;
    return isFence || isCode ? "" : line;
  });
}

export function findLinks(text: string): Reference[] {
  return withoutCodeBlocks(text).flatMap((line, at) => {
    const plain = line.replace(INLINE_CODE, "");
    const targets = Array.from(plain.matchAll(LINK), ([, target = ""]) => target);
    const defined = LINK_DEFINITION.exec(plain)?.[1];
    return [...targets, ...(defined === undefined ? [] : [defined])].map((target) => ({
      target,
      line: at + 1,
    }));
  });
}

/** Returns the anchors of a document as GitHub makes them from its headings; a repeated heading gets `-1`, `-2`. */
export function findAnchors(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const line of withoutCodeBlocks(text)) {
    for (const [, anchor = ""] of line.matchAll(EXPLICIT_ANCHOR)) anchors.add(anchor);
    const heading = HEADING.exec(line)?.[1];
    if (heading === undefined) continue;
    const slug = toSlug(heading);
    let unique = slug;
    for (let count = 1; anchors.has(unique); count += 1) unique = `${slug}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

function toSlug(heading: string): string {
  const text = heading.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/<[^>]+>/g, "");
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, "")
    .replace(/\s/g, "-");
}
