import type { FileHandle } from "node:fs/promises";
import type { Progressed } from "./download-queue.ts";
import { type DiskBudget, DiskFull, type ListFile, type ListStorage } from "./folder.ts";
import type { IdListEntry } from "./manifest.ts";

export interface DownloadParts {
  readonly source: ListFileSource;
  readonly folder: ListStorage;
  readonly budget: DiskBudget;
  /** Names of files that are being written and belong to no {@link ListFile} yet. */
  readonly writing: Set<string>;
  /** Deletes a file that another has taken the place of, after those who read it had time to. */
  readonly retire: (name: string) => void;
  readonly signal: AbortSignal;
  readonly progressed: Progressed;
}

/** Why the file could not be brought up to date, for people; undefined if it was. */
type DownloadProblem = string | undefined;

/**
 * Fetches what is missing of a file. What is there of it stays, whatever happens; if upstream's file is shorter, it is
 * another one, which takes the place of the old one when it is whole.
 */
export async function download(
  file: ListFile,
  entry: IdListEntry,
  parts: DownloadParts,
): Promise<DownloadProblem> {
  const from = file.isDamaged ? 0 : file.bytes;
  const answer = await fetchFile(entry.url, from, parts);
  switch (answer.kind) {
    case "rest":
      return from === 0 ? begin(file, answer, parts) : append(file, answer, parts);
    case "whole":
      return begin(file, answer, parts);
    case "beyond":
      return nothingBeyond(file, answer.size ?? entry.size, entry, parts);
    case "failed":
      return answer.detail;
  }
}

async function fetchFile(url: string, from: number, parts: DownloadParts): Promise<ListFileResponse> {
  const answer = await parts.source.fetchFile(url, from, parts.signal);
  // A failure may be that nothing came.
  if (answer.kind !== "failed") parts.progressed();
  return answer;
}

/** Upstream's file has no byte after those that are here. */
async function nothingBeyond(
  file: ListFile,
  size: number,
  entry: IdListEntry,
  parts: DownloadParts,
): Promise<DownloadProblem> {
  if (size < file.bytes) return startOver(file, entry.url, parts);
  // The last download broke off after the last byte.
  if (size === file.bytes) becomeWhole(file, parts);
  return entry.size > file.bytes ? "upstream's file is not as long yet as the manifest says" : undefined;
}

async function startOver(file: ListFile, url: string, parts: DownloadParts): Promise<DownloadProblem> {
  const answer = await fetchFile(url, 0, parts);
  if (answer.kind === "failed") return answer.detail;
  if (answer.kind === "beyond") return "upstream has no such file";
  return begin(file, answer, parts);
}

type Body = Extract<ListFileResponse, { readonly chunks: unknown }>;

async function append(file: ListFile, { chunks }: Body, parts: DownloadParts): Promise<DownloadProblem> {
  const { name } = file;
  if (name === undefined) return "the file is gone";
  const writer = await ListFileWriter.open(name, file.bytes, parts);
  const problem = await fill(writer, chunks, parts);
  if (isCutShort(problem)) file.bytes = await writer.keep();
  else await writer.undo();
  if (problem === undefined) becomeWhole(file, parts);
  return problem?.message;
}

/** Into a file of its own, so that those who read the one before go on reading it. */
async function begin(file: ListFile, { chunks }: Body, parts: DownloadParts): Promise<DownloadProblem> {
  const { writing, retire } = parts;
  const name = partNameFor(file);
  writing.add(name);
  try {
    const writer = await ListFileWriter.open(name, 0, parts);
    const problem = await fill(writer, chunks, parts);
    const bytes = await writer.keep();
    if (problem !== undefined && (file.isWhole || !isCutShort(problem))) {
      discard(name, parts);
      return problem.message;
    }
    const { name: before, isWhole: wasServed } = file;
    file.name = problem === undefined ? finish(name, parts) : name;
    file.bytes = bytes;
    file.isWhole = problem === undefined;
    file.isDamaged = false;
    if (before !== undefined && wasServed) retire(before);
    else if (before !== undefined) discard(before, parts);
    return problem?.message;
  } finally {
    writing.delete(name);
  }
}

/** Deletes a file that nobody reads. */
function discard(name: string, { folder, budget }: DownloadParts): void {
  folder.delete(name);
  budget.settle(name);
}

/** If a file was cut short, the lines that came are good; the rest is fetched next time. */
function isCutShort(problem: Error | undefined): boolean {
  return !(problem instanceof GarbageLine) && !(problem instanceof DiskFull);
}

function becomeWhole(file: ListFile, parts: DownloadParts): void {
  if (file.isWhole || file.name === undefined) return;
  file.name = finish(file.name, parts);
  file.isWhole = true;
}

/** Gives a file the name by which a relay that is restarted knows that it is whole. Throws if that can't be done. */
function finish(partName: string, { folder, budget }: DownloadParts): string {
  const name = partName.replace(PART, "");
  folder.rename(partName, name);
  budget.settle(partName);
  budget.settle(name);
  return name;
}

async function fill(
  writer: ListFileWriter,
  chunks: AsyncIterable<Uint8Array>,
  { progressed }: DownloadParts,
): Promise<Error | undefined> {
  try {
    for await (const chunk of chunks) {
      progressed();
      await writer.write(chunk);
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Ends the name of a file that is not whole. */
export const PART = ".part";

let serial = 0;

/** Begins with the digest of the list's file, for a relay that is restarted. No two files ever have the same name. */
function partNameFor({ digest }: ListFile): string {
  return `${digest}-${Date.now().toString(36)}-${(serial++).toString(36)}${PART}`;
}

interface WriterParts {
  readonly folder: Pick<ListStorage, "open">;
  readonly budget: DiskBudget;
}

/** Brings bytes into a file behind those that are there, checked on the way. Readers of what was there see none of it. */
class ListFileWriter {
  readonly #handle: FileHandle;
  readonly #name: string;
  readonly #budget: DiskBudget;
  readonly #check: LineCheck;
  readonly #from: number;
  #end: number;

  private constructor(handle: FileHandle, name: string, from: number, budget: DiskBudget) {
    this.#handle = handle;
    this.#name = name;
    this.#budget = budget;
    this.#check = new LineCheck(from);
    this.#from = from;
    this.#end = from;
  }

  /** Makes the file if `from` is 0, and throws if one is there already. */
  static async open(name: string, from: number, { folder, budget }: WriterParts): Promise<ListFileWriter> {
    const handle = await folder.open(name, from === 0 ? "wx" : "r+");
    return new ListFileWriter(handle, name, from, budget);
  }

  /** Throws if the bytes are no ID list, or have no room; what came before stays. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#check.see(chunk);
    this.#budget.claim(this.#name, chunk.length);
    for (let written = 0; written < chunk.length; ) {
      const rest = chunk.subarray(written);
      const { bytesWritten } = await this.#handle.write(rest, 0, rest.length, this.#end);
      written += bytesWritten;
      this.#end += bytesWritten;
    }
  }

  /** The file ends with the last whole line; on the disk, too, once this resolves with its length. */
  async keep(): Promise<number> {
    return this.#closeAt(Math.min(this.#check.wholeLines, this.#end));
  }

  /** The file ends where it did before. */
  async undo(): Promise<void> {
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
        this.#budget.settle(this.#name);
      }
    }
  }
}

const NEWLINE = 0x0a;
const PLUS = 0x2b;
const MINUS = 0x2d;

/** The bytes are no ID list. */
export class GarbageLine extends Error {}

/** Looks at a file as it comes by: every line begins with `+` or `-` (WIRE 4). */
export class LineCheck {
  #seen: number;
  #wholeLines: number;
  #before = NEWLINE;

  /** `from` is where in the file the bytes begin; a line does, too. */
  constructor(from: number) {
    this.#seen = from;
    this.#wholeLines = from;
  }

  /** Bytes up to the last line that is whole. */
  get wholeLines(): number {
    return this.#wholeLines;
  }

  /** Throws {@link GarbageLine}. */
  see(chunk: Uint8Array): void {
    let before = this.#before;
    let last = -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (before === NEWLINE && byte !== PLUS && byte !== MINUS) {
        throw new GarbageLine(`the line at byte ${this.#seen + at} begins with neither + nor -`);
      }
      if (byte === NEWLINE) last = at;
      before = byte;
    }
    if (last >= 0) this.#wholeLines = this.#seen + last + 1;
    this.#before = before;
    this.#seen += chunk.length;
  }
}

/** A file of upstream, or the part of it from `from` on. */
export type ListFileResponse =
  /** The bytes from where they were asked for. */
  | { readonly kind: "rest"; readonly chunks: AsyncIterable<Uint8Array> }
  /** The whole file, though a part was asked for. */
  | { readonly kind: "whole"; readonly chunks: AsyncIterable<Uint8Array> }
  /** The file has no such part; `size` is what it has, where upstream told. */
  | { readonly kind: "beyond"; readonly size: number | undefined }
  | { readonly kind: "failed"; readonly detail: string };

/** Where the files of ID lists come from. */
export interface ListFileSource {
  /**
   * Begins one request; `from` 0 asks for everything. Never rejects but for `signal`. The chunks end only with
   * all that was promised, else they throw an error in words for people; they are bounded in time.
   */
  fetchFile(url: string, from: number, signal: AbortSignal): Promise<ListFileResponse>;
}
