import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Searches everything that a run produced for unmasked secrets. */
export class SecretSearch {
  readonly #secrets: Readonly<Record<string, string>>;
  readonly #found = new Set<string>();

  /** The secrets by names that may be shown. */
  constructor(secrets: Readonly<Record<string, string>>) {
    this.#secrets = secrets;
  }

  /** `place: name of the secret`, sorted. */
  get found(): readonly string[] {
    return [...this.#found].sort();
  }

  look(place: string, produced: string | Uint8Array): void {
    const bytes = Buffer.from(produced as string);
    for (const [name, secret] of Object.entries(this.#secrets)) {
      if (bytes.includes(secret)) this.#found.add(`${place}: ${name}`);
    }
  }

  /** Searches the names and contents of all files in a folder, and returns the number of files. */
  async lookInto(place: string, folder: string): Promise<number> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      this.look(`${place}, a name`, entry.name);
      if (entry.isFile()) this.look(place, await readFile(join(entry.parentPath, entry.name)));
    }
    return entries.length;
  }

  async lookAt(place: string, response: Response): Promise<Response> {
    this.look(`${place}, headers`, JSON.stringify([...response.headers]));
    this.look(place, new Uint8Array(await response.clone().arrayBuffer()));
    return response;
  }
}
