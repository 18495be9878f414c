import { readFileSync } from "node:fs";
import { parseSdkKey, type SdkKey } from "./specs/sdk-key.ts";
import { whyUnreadable } from "./unreadable.ts";

/**
 * A comma list of SDK keys, or by `@path` a file of them, split by commas or white space. Each key once. A list
 * that was given must name one: an empty file is a secret that was not mounted.
 * `refuse` is given what is wrong, without any key in it.
 */
export function readSdkKeyList(text: string, refuse: (problem: string) => never): readonly SdkKey[] {
  if (text === "") return [];
  return parseSdkKeyList(text.startsWith("@") ? readFile(text.slice(1), refuse) : text, refuse);
}

/** SDK keys, split by commas or white space; as {@link readSdkKeyList}, of a file that was read already. */
export function parseSdkKeyList(list: string, refuse: (problem: string) => never): readonly SdkKey[] {
  const words = list.split(/[\s,]+/).filter((word) => word !== "");
  const keys = words.map((word, index) => {
    const key = parseSdkKey(word);
    if (key !== undefined) return key;
    return refuse(`entry ${index + 1} is no SDK key, allowed are 1 to 200 letters, digits, "-" and "_"`);
  });
  if (keys.length === 0) refuse("it names no SDK key");
  return [...new Set(keys)];
}

function readFile(path: string, refuse: (problem: string) => never): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return refuse(`cannot read "${path}": ${whyUnreadable(path)}`);
  }
}
