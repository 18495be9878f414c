import type { FileHandle } from "node:fs/promises";
import type { OnProgress } from "./download-queue.ts";
import { type DiskBudget, DiskFull, type ListFile, type ListStorage } from "./folder.ts";
import type { IdListEntry } from "./manifest.ts";

export interface DownloadParts {
  readonly source: ListFileSource;
  readonly folder: ListStorage;
  readonly budget: DiskBudget;
  /** Names of files that are being written and do not belong to a {@link ListFile} yet. */
  readonly writing: Set<string>;
  /** Deletes a file that was replaced, after clients that read it had time to finish. */
  readonly retire: (name: string) => void;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/** Why the file could not be updated, for logs and the status page; undefined if it was. */
type DownloadProblem = string | undefined;

/**
 * Downloads the missing part of a file. What is on disk stays if that fails. If upstream's file is shorter, it is another file,
 * which replaces the old one once it is whole.
 */
export async function download(
  file: ListFile,
  entry: IdListEntry,
  parts: DownloadParts,
): Promise<DownloadProblem> {
  const from = file.isDamaged ? 0 : file.bytes;
  const response = await fetchFile(entry, from, parts);
  switch (response.kind) {
    case "rest":
      return from === 0 ? replace(file, response, parts) : append(file, response, parts);
    case "whole":
      return replace(file, response, parts);
    case "range_not_satisfiable":
      return handleUnsatisfiableRange(file, response.size ?? entry.size, entry, parts);
    case "failed":
      return response.detail;
  }
}

async function fetchFile(
  { url, size }: IdListEntry,
  from: number,
  parts: DownloadParts,
): Promise<ListFileResponse> {
  const response = await parts.source.fetchFile(url, from, parts.signal, size);
  // A failure is not progress: it may be a timeout.
  if (response.kind !== "failed") parts.onProgress();
  return response;
}

/** Handles that upstream's file has no byte after those on disk. */
async function handleUnsatisfiableRange(
  file: ListFile,
  size: number,
  entry: IdListEntry,
  parts: DownloadParts,
): Promise<DownloadProblem> {
  if (size < file.bytes) return startOver(file, entry, parts);
  // The last download was cut short after the last byte.
  if (size === file.bytes) markWhole(file, parts);
  return entry.size > file.bytes ? "upstream's file is still shorter than the manifest says" : undefined;
}

async function startOver(file: ListFile, entry: IdListEntry, parts: DownloadParts): Promise<DownloadProblem> {
  const response = await fetchFile(entry, 0, parts);
  if (response.kind === "failed") return response.detail;
  if (response.kind === "range_not_satisfiable") return "upstream does not have the file";
  return replace(file, response, parts);
}

type Body = Extract<ListFileResponse, { readonly chunks: unknown }>;

async function append(file: ListFile, { chunks }: Body, parts: DownloadParts): Promise<DownloadProblem> {
  const { name } = file;
  if (name === undefined) return "the file was deleted";
  const writer = await ListFileWriter.open(name, file.bytes, parts);
  const problem = await fill(writer, chunks, parts);
  if (isCutShort(problem)) file.bytes = await writer.keep();
  else await writer.revert();
  if (problem === undefined) markWhole(file, parts);
  return problem?.message;
}

/** Downloads the whole file under a new name, so that clients can finish reading the old one. */
async function replace(file: ListFile, { chunks }: Body, parts: DownloadParts): Promise<DownloadProblem> {
  const { writing, retire } = parts;
  const name = createPartName(file);
  writing.add(name);
  try {
    const writer = await ListFileWriter.open(name, 0, parts);
    const problem = await fill(writer, chunks, parts);
    const bytes = await writer.keep();
    if (problem !== undefined && (file.isWhole || !isCutShort(problem))) {
      discard(name, parts);
      return problem.message;
    }
    const { name: oldName, isWhole: wasServed } = file;
    file.name = problem === undefined ? renameToWhole(name, parts) : name;
    file.bytes = bytes;
    file.isWhole = problem === undefined;
    file.isDamaged = false;
    if (oldName !== undefined && wasServed) retire(oldName);
    else if (oldName !== undefined) discard(oldName, parts);
    return problem?.message;
  } finally {
    writing.delete(name);
  }
}

/** Deletes a file that was never served. */
function discard(name: string, { folder, budget }: DownloadParts): void {
  folder.delete(name);
  budget.recount(name);
}

/** Returns true if the lines that were received are valid, so that the next download can continue after them. */
function isCutShort(problem: Error | undefined): boolean {
  return !(problem instanceof InvalidLine) && !(problem instanceof DiskFull);
}

function markWhole(file: ListFile, parts: DownloadParts): void {
  if (file.isWhole || file.name === undefined) return;
  file.name = renameToWhole(file.name, parts);
  file.isWhole = true;
}

/** Renames a file, so that its name shows after a restart that it is whole. Throws an error of the file system. */
function renameToWhole(partName: string, { folder, budget }: DownloadParts): string {
  const name = partName.replace(PART, "");
  folder.rename(partName, name);
  budget.recount(partName);
  budget.recount(name);
  return name;
}

/** Writes the chunks. Returns the error that ended them early, or undefined. */
async function fill(
  writer: ListFileWriter,
  chunks: AsyncIterable<Uint8Array>,
  { onProgress }: DownloadParts,
): Promise<Error | undefined> {
  try {
    for await (const chunk of chunks) {
      onProgress();
      await writer.write(chunk);
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** The end of the name of a file that is not whole. */
export const PART = ".part";

let serial = 0;

/** Returns a unique name that starts with the file's digest, by which the relay recognizes the file after a restart. */
function createPartName({ digest }: ListFile): string {
  return `${digest}-${Date.now().toString(36)}-${(serial++).toString(36)}${PART}`;
}

interface WriterParts {
  readonly folder: Pick<ListStorage, "open">;
  readonly budget: DiskBudget;
}

/** Appends bytes to a file and validates them. Clients that read the file only see the bytes that it had before. */
class ListFileWriter {
  readonly #handle: FileHandle;
  readonly #name: string;
  readonly #budget: DiskBudget;
  readonly #lines: LineCheck;
  readonly #from: number;

  private constructor(handle: FileHandle, name: string, from: number, budget: DiskBudget) {
    this.#handle = handle;
    this.#name = name;
    this.#budget = budget;
    this.#lines = new LineCheck(from);
    this.#from = from;
  }

  /** Creates the file if `from` is 0, and rejects if it exists then. */
  static async open(name: string, from: number, { folder, budget }: WriterParts): Promise<ListFileWriter> {
    const handle = await folder.open(name, from === 0 ? "wx" : "r+");
    return new ListFileWriter(handle, name, from, budget);
  }

  /** Rejects if the bytes are not an ID list, or if the budget is used up. What was written before stays. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#budget.reserve(this.#name, chunk.length);
    for (let written = 0; written < chunk.length; ) {
      const rest = chunk.subarray(written);
      const { bytesWritten } = await this.#handle.write(rest, 0, rest.length, this.#lines.end);
      written += bytesWritten;
      // Only now: if a write fails, what is kept must end with a line, or no later download could continue after it.
      this.#lines.add(rest.subarray(0, bytesWritten));
    }
  }

  /** Truncates the file after the last whole line and closes it. Resolves with its length once the file is on stable storage. */
  async keep(): Promise<number> {
    return this.#closeAt(this.#lines.wholeLines);
  }

  /** Truncates the file to its old length and closes it. */
  async revert(): Promise<void> {
    await this.#closeAt(this.#from);
  }

  async #closeAt(bytes: number): Promise<number> {
    try {
      await this.#handle.truncate(bytes);
      await this.#handle.datasync();
      return bytes;
    } finally {
      try {
        await this.#handle.close();
      } finally {
        this.#budget.recount(this.#name);
      }
    }
  }
}

const NEWLINE = 0x0a;
const PLUS = 0x2b;
const MINUS = 0x2d;

/** The bytes are not an ID list. */
export class InvalidLine extends Error {}

/** Checks that every line of a file begins with `+` or `-` (docs/protocol.md, ID lists), chunk by chunk. */
export class LineCheck {
  #seen: number;
  #wholeLines: number;
  #before = NEWLINE;

  /** `from` is the offset of the first chunk in the file, where a line must begin. */
  constructor(from: number) {
    this.#seen = from;
    this.#wholeLines = from;
  }

  /** The offset after the last chunk. */
  get end(): number {
    return this.#seen;
  }

  /** The offset after the last whole line. */
  get wholeLines(): number {
    return this.#wholeLines;
  }

  /** Throws {@link InvalidLine}. */
  add(chunk: Uint8Array): void {
    let before = this.#before;
    let last = -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (before === NEWLINE && byte !== PLUS && byte !== MINUS) {
        throw new InvalidLine(`the line at byte ${this.#seen + at} begins with neither + nor -`);
      }
      if (byte === NEWLINE) last = at;
      before = byte;
    }
    if (last >= 0) this.#wholeLines = this.#seen + last + 1;
    this.#before = before;
    this.#seen += chunk.length;
  }
}

/** Upstream's file, or the part of it from an offset on. */
export type ListFileResponse =
  /** The bytes from the offset on. */
  | { readonly kind: "rest"; readonly chunks: AsyncIterable<Uint8Array> }
  /** The whole file, although a part was requested. */
  | { readonly kind: "whole"; readonly chunks: AsyncIterable<Uint8Array> }
  /** The file has no byte at the offset. `size` is its length, if upstream sent it. */
  | { readonly kind: "range_not_satisfiable"; readonly size: number | undefined }
  | { readonly kind: "failed"; readonly detail: string };

/** The upstream of list files. */
export interface ListFileSource {
  /**
   * Requests a file from the offset `from` on. `size`: that of the manifest, 0 if there is none. Rejects only when `signal` is
   * aborted. The chunks throw, with a message for logs, if they end before the length that upstream announced, or if they take too
   * long.
   */
  fetchFile(url: string, from: number, signal: AbortSignal, size: number): Promise<ListFileResponse>;
}
