import type { AcceptedCodings } from "./negotiation.ts";
import type { RequestCell } from "./request-meter.ts";

interface AnswerInit {
  readonly status: number;
  readonly blob: Blob | null;
  readonly headers: Headers;
}

/** Finds where an answer is counted. */
type CellFor = (accepted: AcceptedCodings) => RequestCell;

/** All that an answer needs, made once for whoever gets the same: a body in one coding, and its headers. */
export class PreparedAnswer {
  readonly status: number;
  /** Sent without a copy for each client, however many are slow. */
  readonly blob: Blob | null;
  readonly headers: Headers;
  readonly #cellFor: CellFor;
  /** By kind of Accept-Encoding. */
  readonly #cells: (RequestCell | undefined)[] = [];

  constructor({ status, blob, headers }: AnswerInit, cellFor: CellFor) {
    this.status = status;
    this.blob = blob;
    this.headers = headers;
    this.#cellFor = cellFor;
  }

  response(): Response {
    return new Response(this.blob, this);
  }

  /** Where it is counted that a client with this Accept-Encoding got it. */
  cell(accepted: AcceptedCodings): RequestCell {
    const known = this.#cells[accepted.kind];
    if (known !== undefined) return known;
    const cell = this.#cellFor(accepted);
    this.#cells[accepted.kind] = cell;
    return cell;
  }
}
