import { readFileSync } from "node:fs";
import type { RedisTls } from "./options.ts";

/** The PEM texts as they are at each connect; what can't be read any more stays as it was. */
export class TlsFiles {
  readonly #paths: RedisTls;
  readonly #lastRead = new Map<string, string>();

  constructor(paths: RedisTls) {
    this.#paths = paths;
  }

  /** For the library, which looks at these at each connect. */
  get live(): { readonly ca?: string; readonly cert?: string; readonly key?: string } {
    const { caPath, certPath, keyPath } = this.#paths;
    const live = {};
    this.#define(live, "ca", caPath);
    this.#define(live, "cert", certPath);
    this.#define(live, "key", keyPath);
    return live;
  }

  #define(live: object, name: string, path: string | undefined): void {
    if (path !== undefined)
      Object.defineProperty(live, name, { enumerable: true, get: () => this.#read(path) });
  }

  #read(path: string): string | undefined {
    try {
      this.#lastRead.set(path, readFileSync(path, "utf8"));
    } catch {
      // An exception in the middle of a connect would end the connecting for good.
    }
    return this.#lastRead.get(path);
  }
}
