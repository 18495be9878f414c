import type { FileHandle } from "node:fs/promises";
import type { ListFolder, ListStorage } from "../../../src/id-lists/folder.ts";

export type StorageCall =
  | "findSize"
  | "close"
  | "datasync"
  | "delete"
  | "files"
  | "isReadable"
  | "open"
  | "read"
  | "rename"
  | "truncate"
  | "write";

/** Returns the code of a file system error, such as EIO, for a call that shall fail. */
export type StorageFault = (call: StorageCall, name: string) => string | undefined;

/** A real folder whose calls fail when a test wants them to, as on a bad disk or a network file system. */
export class FaultyStorage implements ListStorage {
  readonly #folder: ListFolder;
  fault: StorageFault = () => undefined;
  /** Bytes that can still be written. A disk that fills up writes a part of what it was given, and then fails. */
  room = Number.POSITIVE_INFINITY;

  constructor(folder: ListFolder) {
    this.#folder = folder;
  }

  files(): readonly string[] {
    this.#check("files", "");
    return this.#folder.files();
  }

  toPath(name: string): string {
    return this.#folder.toPath(name);
  }

  findSize(name: string): number | undefined {
    this.#check("findSize", name);
    return this.#folder.findSize(name);
  }

  isReadable(name: string): boolean {
    this.#check("isReadable", name);
    return this.#folder.isReadable(name);
  }

  async open(name: string, flags: "wx" | "r+" | "r"): Promise<FileHandle> {
    this.#check("open", name);
    const handle = await this.#folder.open(name, flags);
    return new Proxy(handle, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): unknown => {
          if (property === "write") return this.#write(target, args as unknown as WriteArgs, name);
          // A close that fails closes the file nevertheless, as on Linux.
          const result: unknown = property === "close" ? value.apply(target, args) : undefined;
          this.#check(property as StorageCall, name);
          return result ?? value.apply(target, args);
        };
      },
    });
  }

  async #write(handle: FileHandle, [bytes, offset, length, at]: WriteArgs, name: string) {
    this.#check("write", name);
    if (this.room === 0) throw createError("ENOSPC", "write");
    const part = Math.min(length, this.room);
    this.room -= part;
    return handle.write(bytes, offset, part, at);
  }

  rename(from: string, to: string): void {
    this.#check("rename", from);
    this.#folder.rename(from, to);
  }

  delete(name: string): void {
    this.#check("delete", name);
    this.#folder.delete(name);
  }

  markUsed(): void {
    this.#folder.markUsed();
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }

  #check(call: StorageCall, name: string): void {
    const code = this.fault(call, name);
    if (code !== undefined) throw createError(code, call);
  }
}

type WriteArgs = readonly [bytes: Uint8Array, offset: number, length: number, at: number];

const createError = (code: string, call: StorageCall): Error =>
  Object.assign(new Error(`${code}: ${call}`), { code });
