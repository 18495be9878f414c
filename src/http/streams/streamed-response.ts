import type { LastingBody } from "../../streams/lasting-body.ts";

/** A Response without an end. A ReadableStream would take more memory, and hold a version for a client that does not read. */
export class StreamedResponse extends Response {
  readonly lasting: LastingBody;

  constructor(lasting: LastingBody, init: ResponseInit) {
    super(null, init);
    this.lasting = lasting;
  }
}
