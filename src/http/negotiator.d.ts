/** negotiator 1.1 has no types, and those of DefinitelyTyped lack `preferred`. */
declare module "negotiator" {
  export default class Negotiator {
    constructor(request: { readonly headers: Readonly<Record<string, string>> });
    /**
     * Returns the members of `available` that the client accepts, best first, and among equals in the order of `preferred`.
     */
    encodings(available: readonly string[], options?: { readonly preferred: readonly string[] }): string[];
  }
}
