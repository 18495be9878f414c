import { readFileSync } from "node:fs";
import { parseSdkKey, type SdkKey } from "./specs/sdk-key.ts";

/**
 * A comma list of SDK keys, or by `@path` a file of them, split by commas or white space. Each key once. A list
 * that was given must name one: an empty file is a secret that was not mounted.
 * `refuse` is given what is wrong, without any key in it.
 */
export function readSdkKeyList(text: string, refuse: (problem: string) => never): readonly SdkKey[] {
  const list = text.startsWith("@") ? readFile(text.slice(1), refuse) : text;
  const words = list.split(/[\s,]+/).filter((word) => word !== "");
  const keys = words.map((word, index) => {
    const key = parseSdkKey(word);
    if (key !== undefined) return key;
    return refuse(`entry ${index + 1} is no SDK key, allowed are 1 to 200 letters, digits, "-" and "_"`);
  });
  if (keys.length === 0 && text !== "") refuse("it names no SDK key");
  return [...new Set(keys)];
}

const READ_WORDS: Readonly<Record<string, string>> = {
  ENOENT: "file is missing",
  EACCES: "no permission",
  EISDIR: "it is a folder",
};

function readFile(path: string, refuse: (problem: string) => never): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return refuse(`cannot read "${path}": ${READ_WORDS[code ?? ""] ?? code}`);
  }
}
