import { type DiskBudget, DiskFull } from "./disk-budget.ts";
import type { Progressed } from "./download-queue.ts";
import { GarbageLine } from "./line-check.ts";
import type { ListFile } from "./list-file.ts";
import type { ListFileAnswer, ListFileSource } from "./list-file-source.ts";
import { ListFileWriter } from "./list-file-writer.ts";
import type { ListStorage } from "./list-folder.ts";
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
export type DownloadProblem = string | undefined;

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

async function fetchFile(url: string, from: number, parts: DownloadParts): Promise<ListFileAnswer> {
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

type Body = Extract<ListFileAnswer, { readonly chunks: unknown }>;

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
