/** negotiator 1.1 comes without types, and those of DefinitelyTyped know no `preferred`. */
declare module "negotiator" {
  export default class Negotiator {
    constructor(request: { readonly headers: Readonly<Record<string, string>> });
    /** Those of `available` that the client accepts, best first; among equals in the order of `preferred`. */
    encodings(available: readonly string[], options?: { readonly preferred: readonly string[] }): string[];
  }
}
