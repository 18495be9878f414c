/**
 * Node's parser of HTTP/1.1 messages (llhttp), as `node:http` of both Node and Bun uses it. Its callbacks are
 * properties whose names are these numbers.
 */
declare module "node:_http_common" {
  export class HTTPParser {
    static readonly REQUEST: number;
    static readonly kOnMessageBegin: number;
    static readonly kOnHeaders: number;
    static readonly kOnHeadersComplete: number;
    static readonly kOnBody: number;
    static readonly kOnMessageComplete: number;
    /** Without lenient flags: every deviation from RFC 9112 by which requests can be smuggled is an error. */
    initialize(type: number, resource: object, maxHeaderBytes: number, lenientFlags: number): void;
    /** How many bytes were parsed: fewer than given at the end of a request that asks for an upgrade. */
    execute(bytes: Uint8Array): number | HttpParseError;
    [callback: number]: ((...args: never[]) => unknown) | undefined;
  }

  export interface HttpParseError extends Error {
    /** `HPE_` and the name of llhttp's error. */
    readonly code: string;
  }

  /** The names of methods by the numbers that the parser gives, right up to `SOURCE`. */
  export const methods: readonly string[];
}
