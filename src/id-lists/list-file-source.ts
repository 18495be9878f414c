/** A file of upstream, or the part of it from `from` on. */
export type ListFileAnswer =
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
  fetchFile(url: string, from: number, signal: AbortSignal): Promise<ListFileAnswer>;
}
