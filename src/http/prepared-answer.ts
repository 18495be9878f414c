import { connectionLines, headerLines, httpDate, statusLine } from "./http1-response.ts";
import type { AcceptedCodings } from "./negotiation.ts";
import type { RequestCell } from "./request-meter.ts";

interface AnswerInit {
  readonly status: number;
  /** Undefined for a response that has none by its status. */
  readonly body: Uint8Array<ArrayBuffer> | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Finds where an answer is counted. */
type CellFor = (accepted: AcceptedCodings) => RequestCell;

/** A response that is made once for all clients that get the same: a body in one coding, and its headers. */
export class PreparedAnswer {
  readonly status: number;
  readonly body: Uint8Array<ArrayBuffer> | undefined;
  readonly #headers: Headers;
  readonly #cellFor: CellFor;
  /** By kind of Accept-Encoding. */
  readonly #cells: (RequestCell | undefined)[] = [];
  #blob: Blob | undefined;
  #http1Head:
    | { readonly bytes: Buffer; readonly date: string; readonly keepAliveTimeoutS: number }
    | undefined;

  constructor({ status, body, headers }: AnswerInit, cellFor: CellFor) {
    this.status = status;
    this.body = body;
    this.#headers = new Headers(headers);
    if (body !== undefined) this.#headers.set("content-length", String(body.length));
    this.#cellFor = cellFor;
  }

  setHeader(name: string, value: string): void {
    this.#headers.set(name, value);
    this.#http1Head = undefined;
  }

  /** As the web standard has it. The responses of all clients share one copy of the body. */
  response(): Response {
    if (this.body !== undefined) this.#blob ??= new Blob([this.body]);
    return new Response(this.#blob ?? null, { status: this.status, headers: this.#headers });
  }

  /** Status line and headers as they go over the wire; with undefined of a response with which the connection ends. */
  http1Head(keepAliveTimeoutS: number | undefined): Buffer {
    if (keepAliveTimeoutS === undefined) return this.#makeHttp1Head(undefined);
    const date = httpDate();
    const made = this.#http1Head;
    if (made !== undefined && made.date === date && made.keepAliveTimeoutS === keepAliveTimeoutS)
      return made.bytes;
    const bytes = this.#makeHttp1Head(keepAliveTimeoutS);
    this.#http1Head = { bytes, date, keepAliveTimeoutS };
    return bytes;
  }

  /** Where it is counted that a client with this Accept-Encoding got it. */
  cell(accepted: AcceptedCodings): RequestCell {
    const known = this.#cells[accepted.kind];
    if (known !== undefined) return known;
    const cell = this.#cellFor(accepted);
    this.#cells[accepted.kind] = cell;
    return cell;
  }

  #makeHttp1Head(keepAliveTimeoutS: number | undefined): Buffer {
    const lines = statusLine(this.status) + headerLines(this.#headers) + connectionLines(keepAliveTimeoutS);
    return Buffer.from(lines, "latin1");
  }
}
