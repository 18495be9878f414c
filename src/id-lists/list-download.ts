import { type DiskBudget, DiskFull } from "./disk-budget.ts";
import { GarbageLine } from "./line-check.ts";
import type { ListFile } from "./list-file.ts";
import type { ListFileAnswer, ListFileSource } from "./list-file-source.ts";
import { ListFileWriter } from "./list-file-writer.ts";
import type { ListFolder } from "./list-folder.ts";

export interface DownloadParts {
  readonly source: ListFileSource;
  readonly folder: ListFolder;
  readonly budget: DiskBudget;
  /** Deletes a file that another has taken the place of, after those who read it had time to. */
  readonly retire: (name: string, bytes: number) => void;
  readonly signal: AbortSignal;
}

/** Why the file could not be brought up to date, for people; undefined where it was. */
export type DownloadProblem = string | undefined;

/** Fetches what is missing of a file. What is there of it stays, whatever happens. */
export async function download(file: ListFile, url: string, parts: DownloadParts): Promise<DownloadProblem> {
  const answer = await parts.source.fetchFile(url, file.bytes, parts.signal);
  switch (answer.kind) {
    case "rest":
      return file.bytes === 0 ? begin(file, answer, parts) : append(file, answer, parts);
    case "whole":
      return begin(file, answer, parts);
    case "beyond":
      if (answer.size === undefined || answer.size >= file.bytes) return "upstream's file is not as long yet";
      return startOver(file, url, parts);
    case "failed":
      return answer.detail;
  }
}

/** Upstream's file is shorter than what is here: it must be another. */
async function startOver(file: ListFile, url: string, parts: DownloadParts): Promise<DownloadProblem> {
  const answer = await parts.source.fetchFile(url, 0, parts.signal);
  if (answer.kind === "failed") return answer.detail;
  if (answer.kind === "beyond") return "upstream has no such file";
  return begin(file, answer, parts);
}

type Body = Extract<ListFileAnswer, { readonly chunks: unknown }>;

async function append(file: ListFile, { chunks }: Body, parts: DownloadParts): Promise<DownloadProblem> {
  const { name } = file;
  if (name === undefined) return "the file is gone";
  const writer = await ListFileWriter.open(parts.folder.pathOf(name), file.bytes, parts.budget);
  const problem = await fill(writer, chunks);
  if (isCutShort(problem)) file.bytes = await writer.keep();
  else await writer.undo();
  if (problem === undefined) becomeWhole(file, parts.folder);
  return problem?.message;
}

/** Into a file of its own, so that those who read the one before go on reading it. */
async function begin(file: ListFile, { chunks }: Body, parts: DownloadParts): Promise<DownloadProblem> {
  const { folder, budget, retire } = parts;
  const name = nameFor(file);
  const writer = await ListFileWriter.open(folder.pathOf(name), 0, budget);
  const problem = await fill(writer, chunks);
  const bytes = await writer.keep();
  if (problem !== undefined && (file.isWhole || !isCutShort(problem))) {
    retire(name, bytes);
    return problem.message;
  }
  if (file.name !== undefined) retire(file.name, file.bytes);
  file.name = name;
  file.bytes = bytes;
  file.isWhole = false;
  if (problem === undefined) becomeWhole(file, folder);
  return problem?.message;
}

/** Of a file that was cut short the lines that came are good; the rest is fetched next time. */
function isCutShort(problem: Error | undefined): boolean {
  return !(problem instanceof GarbageLine) && !(problem instanceof DiskFull);
}

function becomeWhole(file: ListFile, folder: ListFolder): void {
  if (file.isWhole || file.name === undefined) return;
  const name = file.name.replace(PART, "");
  folder.rename(file.name, name);
  file.name = name;
  file.isWhole = true;
}

async function fill(writer: ListFileWriter, chunks: AsyncIterable<Uint8Array>): Promise<Error | undefined> {
  try {
    for await (const chunk of chunks) await writer.write(chunk);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Ends the name of a file that is not whole. */
export const PART = ".part";

let serial = 0;

/** Says what it is of to a relay that starts anew, and that it is not whole yet. No two files ever have the same. */
function nameFor({ digest }: ListFile): string {
  return `${digest}-${Date.now().toString(36)}-${(serial++).toString(36)}${PART}`;
}
