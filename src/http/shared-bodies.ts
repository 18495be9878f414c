import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";

/** Distinct large bodies that are looked for: feeds that clients ask for by RPC, in a few forms each. */
const MAX_KNOWN = 1_000;

/** Smaller ones are not worth the looking. */
const MIN_BYTES = 16 * 1024;

/**
 * Lets answers of the same bytes share one Blob. However many clients are slow to read an answer that a library made anew
 * for each of them, it is held once.
 */
export class SharedBodies {
  readonly #known = new LRUCache<string, WeakRef<Blob>>({ max: MAX_KNOWN });

  /** The same answer, its body read to the end. */
  async share(response: Response): Promise<Response> {
    const { status, headers } = response;
    const bytes = new Uint8Array(await response.arrayBuffer());
    const body = bytes.length < MIN_BYTES ? bytes : this.#blobOf(bytes);
    return new Response(body, { status, headers });
  }

  #blobOf(bytes: Uint8Array<ArrayBuffer>): Blob {
    const digest = createHash("sha256").update(bytes).digest("base64");
    const known = this.#known.get(digest)?.deref();
    if (known !== undefined) return known;
    const blob = new Blob([bytes]);
    this.#known.set(digest, new WeakRef(blob));
    return blob;
  }
}
