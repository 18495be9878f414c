import { readFileSync } from "node:fs";

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "file is missing",
  EACCES: "no permission",
  EISDIR: "it is a folder",
};

/** Why a file can't be read, for people. */
export function whyUnreadable(path: string): string {
  try {
    readFileSync(path);
    return "it could not be read a moment ago";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return WORDS[code ?? ""] ?? String(code);
  }
}
