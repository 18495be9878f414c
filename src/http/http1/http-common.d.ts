/**
 * Node's parser of HTTP/1.1 messages (llhttp), which `node:http` of both Node and Bun uses. Its callbacks are properties
 * named by these numbers.
 */
declare module "node:_http_common" {
  export class HTTPParser {
    static readonly REQUEST: number;
    static readonly kOnMessageBegin: number;
    static readonly kOnHeaders: number;
    static readonly kOnHeadersComplete: number;
    static readonly kOnBody: number;
    static readonly kOnMessageComplete: number;
    /** `lenientFlags` of 0 turns every deviation from RFC 9112 that allows request smuggling into an error. */
    initialize(type: number, resource: object, maxHeaderBytes: number, lenientFlags: number): void;
    /** Returns how many bytes were parsed: fewer than given after a request that asks for an upgrade. */
    execute(bytes: Uint8Array): number | HttpParseError;
    [callback: number]: ((...args: never[]) => unknown) | undefined;
  }

  export interface HttpParseError extends Error {
    /** `HPE_` and the name of llhttp's error. */
    readonly code: string;
  }

  /** The names of methods by the parser's numbers. They match up to and including `SOURCE`. */
  export const methods: readonly string[];
}
