import { isAbsolute, join, relative } from "node:path";
import { root } from "../command.ts";

const SUGGESTIONS = 5;
const MIN_SIMILARITY = 0.4;

/** Flags of `bun test` that take their value from the next argument. All others are written `--flag=value`. */
const FLAGS_WITH_VALUE = ["-t", "--test-name-pattern"];

export interface TestArguments {
  readonly names: readonly string[];
  readonly flags: readonly string[];
}

/** Separates the names of test files from the flags of `bun test`. */
export function splitTestArguments(args: readonly string[]): TestArguments {
  const isFlag = (arg: string | undefined, before: string | undefined) =>
    arg?.startsWith("-") || FLAGS_WITH_VALUE.includes(before ?? "");
  return {
    names: args.filter((arg, at) => !isFlag(arg, args[at - 1])),
    flags: args.filter((arg, at) => isFlag(arg, args[at - 1])),
  };
}

/** Returns the paths of all test files from the project's root, sorted. */
export async function listTestFiles(): Promise<string[]> {
  const paths = await Array.fromAsync(new Bun.Glob("tests/**/*.test.ts").scan({ cwd: root }));
  return paths.sort();
}

/**
 * Returns the files whose path contains one of `names`, as the filters of `bun test` do. A name may also be an absolute
 * path, or start with `./`. Throws for a name that matches no file, with the most similar paths.
 */
export function selectTestFiles(names: readonly string[], files: readonly string[]): string[] {
  const selected = new Set<string>();
  for (const name of names) {
    const wanted = isAbsolute(name) ? relative(root, name) : join(name);
    const matches = files.filter((file) => file.includes(wanted));
    if (matches.length === 0) throw new Error(formatMismatch(name, findSimilar(wanted, files)));
    for (const file of matches) selected.add(file);
  }
  return [...selected];
}

function formatMismatch(name: string, similar: readonly string[]): string {
  const hint = similar.length === 0 ? "" : `; did you mean\n${similar.map((file) => `  ${file}`).join("\n")}`;
  return `no test file matches "${name}"${hint}`;
}

/** Compares a name with whole paths, with file names and with their words, whichever is most similar. */
function findSimilar(wanted: string, files: readonly string[]): string[] {
  const name = trim(wanted);
  const scored = files.map((file) => {
    const path = trim(file);
    const candidates = [path, ...path.split("/"), ...path.split(/[/-]/)];
    return { file, score: Math.max(...candidates.map((each) => similarity(name, each))) };
  });
  const similar = scored.filter(({ score }) => score >= MIN_SIMILARITY).sort((a, b) => b.score - a.score);
  return similar.slice(0, SUGGESTIONS).map(({ file }) => file);
}

const trim = (path: string) => path.replaceAll(/^tests\/|\.test\.ts$|\.ts$/g, "");

/** Dice's coefficient of the sequences of three letters, from 0 to 1. It tolerates swapped and missing letters. */
function similarity(a: string, b: string): number {
  const [ofA, ofB] = [trigrams(a), trigrams(b)];
  return (2 * ofA.intersection(ofB).size) / (ofA.size + ofB.size);
}

/** The spaces around the word give its first and last letters as much weight as the others. */
function trigrams(word: string): Set<string> {
  const text = `  ${word}  `;
  return new Set(Array.from({ length: text.length - 2 }, (_, at) => text.slice(at, at + 3)));
}
