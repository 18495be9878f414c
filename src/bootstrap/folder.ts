import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { describeErrno } from "../platform/errors.ts";
import { readName } from "./names.ts";

/** A file that may hold a config spec. */
export interface ListedFile {
  readonly name: string;
  readonly path: string;
  /** Changes whenever the file is written or replaced. Undefined if it cannot be used; `problem` says why. */
  readonly signature: string | undefined;
  readonly problem?: string;
}

export type Listing =
  | { readonly kind: "listed"; readonly files: readonly ListedFile[] }
  | { readonly kind: "failed"; readonly reason: string };

/** Each is looked at once a second. */
const MAX_FILES = 2_000;

export const NO_FILES = "it has no *.json, *.json.gz, *.json.br, *.json.zst or *.statsig-br file";

/**
 * Lists the files of a folder, not those of folders in it, or the one file that the path names, whatever its name. Symbolic links are
 * followed, and names that begin with a dot are ignored, as mounts of Kubernetes need it.
 */
export async function listFiles(path: string, maxBytes: number): Promise<Listing> {
  try {
    const found = await stat(path);
    if (!found.isDirectory()) {
      return { kind: "listed", files: [await look(basename(path), path, maxBytes)] };
    }
    const names = (await readdir(path)).filter((name) => readName(name).isSpec).sort();
    if (names.length > MAX_FILES) {
      return {
        kind: "failed",
        reason: `it has ${names.length} files with config specs, more than ${MAX_FILES}`,
      };
    }
    const files = await Promise.all(names.map((name) => look(name, join(path, name), maxBytes)));
    return { kind: "listed", files };
  } catch (error) {
    return { kind: "failed", reason: describeErrno(error) };
  }
}

async function look(name: string, path: string, maxBytes: number): Promise<ListedFile> {
  const unusable = (problem: string): ListedFile => ({ name, path, signature: undefined, problem });
  try {
    const found = await stat(path, { bigint: true });
    const { size, ino, mtimeNs, ctimeNs } = found;
    if (!found.isFile()) return unusable("it is not a regular file");
    if (size > maxBytes) {
      return unusable(`it is larger than the ${maxBytes / 1024 ** 2} MiB that --max-payload-in-mb allows`);
    }
    return { name, path, signature: [ino, size, mtimeNs, ctimeNs].join(":") };
  } catch (error) {
    return unusable(describeErrno(error));
  }
}
