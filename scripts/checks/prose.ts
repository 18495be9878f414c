import { withoutCodeBlocks } from "./markdown.ts";
import { type ProjectFile, readProjectFiles } from "./project-files.ts";
import { findProseInSource, type Prose } from "./source-prose.ts";

interface Rule {
  /** A space stands for any white space, line breaks included. */
  readonly banned: RegExp;
  readonly instead: string;
  /** The default is everywhere. */
  readonly only?: Prose["kind"];
}

/** What people decode instead of read, and how engineers of this field write it. */
const PHRASES: readonly Rule[] = [
  // A sentence with a comma may be a whole one: "With TLS, the port …".
  {
    banned: /^\s*(?:(?:Of|By(?! default\b)) [^.,:;]+|With [^.,:;]+(?:\.|$))/,
    instead: "a whole sentence that starts with a verb or with the subject",
    only: "docstring",
  },
  { banned: /\bundefined where\b/i, instead: "Returns undefined if" },
  { banned: /(?<!\bthere )\bis none\b/i, instead: "is not one, does not exist, is invalid" },
  { banned: /\bso many\b(?! that\b)/i, instead: "the number, its limit, or its name" },
  { banned: /\bso long\b(?! (?:that|as)\b)/i, instead: "the duration, or its name" },
  { banned: /\bas (?:\w+ ){1,6}as may be\b/i, instead: "the limit is reached, at most" },
  {
    banned: /\b(?:whoever|nobody|somebody|everybody|those who)\b/i,
    instead: "the component: client, caller, operator, no client",
  },
  { banned: /\bgoes (?:on|with)\b/i, instead: "continues, belongs to" },
  { banned: /\bgoes before\b/i, instead: "overrides, precedes" },
  { banned: /\banew\b/i, instead: "again" },
  {
    banned: /\b(?:told|tells?|telling)\b/i,
    instead: "reports, logs, emits, notifies, sends, shows, distinguishes",
  },
  { banned: /\bstrangers?\b/i, instead: "unknown key, unknown client" },
  { banned: /\bscouts?\b/i, instead: "probe" },
  { banned: /\bboards?\b/i, instead: "shared state, by its name" },
  { banned: /\bmend(?:s|ed|ing)?\b/i, instead: "fix" },
  { banned: /\bbells?\b/i, instead: "wake signal" },
  { banned: /\bhappenings?\b/i, instead: "event" },
  { banned: /\bfirst sight\b/i, instead: "first request, cache miss" },
  { banned: /\bdenials?\b(?! of service)/i, instead: "rejection, negative cache entry" },
  { banned: /\bcouriers?\b/i, instead: "sender, forwarder" },
  { banned: /\bhurry\b/i, instead: "immediate poll, by its name" },
  { banned: /\b(?:shelf|shelves)\b/i, instead: "store, by its name" },
  { banned: /\bleftovers?\b/i, instead: "remaining files, stale files" },
  { banned: /\bkeepers?\b/i, instead: "holder, store, by its name" },
  { banned: /\bunfit\b/i, instead: "invalid, unusable" },
  { banned: /\btakes? no writes\b/i, instead: "rejects writes" },
  { banned: /\b(?:made|makes?|making) room\b/i, instead: "evicted, evicts" },
  { banned: /\bwhat is there\b/i, instead: "the existing …, by its name" },
  { banned: /\bof which\b/i, instead: "including, whose, or two sentences" },
  { banned: /\bwhich see\b/i, instead: "a link, or {@link …}" },
];

const RULES = PHRASES.map((rule) => ({
  ...rule,
  banned: new RegExp(rule.banned.source.replaceAll(" ", "\\s+"), `${rule.banned.flags}g`),
}));

/** String literals of these folders are shown to operators or developers; elsewhere they are mostly test data. */
const WITH_STRINGS = /^(?:src|scripts)\//;

/**
 * Searches documents, comments and the string literals of src and scripts for banned phrases. Returns one line per phrase
 * that is found, with what to write instead.
 */
export async function findProseProblems(root: string): Promise<string[]> {
  return (await readProjectFiles(root)).flatMap(findProse);
}

function findProse({ path, text }: ProjectFile): string[] {
  const prose = /\.(?:ts|mjs)$/.test(path)
    ? findProseInSource(text).filter(({ kind }) => kind !== "string" || WITH_STRINGS.test(path))
    : readDocument(path, text);
  return prose.flatMap((each) => findBanned(each).map(({ line, problem }) => `${path}:${line}: ${problem}`));
}

/** Code in documents is omitted. Of other files, such as YAML and protobuf, everything is read. */
function readDocument(path: string, text: string): Prose[] {
  const read = path.endsWith(".md")
    ? withoutCodeBlocks(text)
        .join("\n")
        .replace(/`[^`\n]*`/g, "`…`")
    : text;
  return [{ kind: "document", text: read, line: 1 }];
}

function findBanned({ kind, text, line }: Prose): { line: number; problem: string }[] {
  const read = text.replaceAll("\\n", "  ");
  return RULES.filter(({ only }) => only === undefined || only === kind).flatMap(({ banned, instead }) =>
    Array.from(read.matchAll(banned), ({ 0: found, index }) => ({
      line: line + read.slice(0, index).split("\n").length - 1,
      problem: `"${found.trim().replace(/\s+/g, " ")}": write ${instead}`,
    })),
  );
}
