import type { SharedFrame } from "../streams/lasting-body.ts";
import type { SpecItem } from "../streams/spec-stream.ts";
import type { StatusError } from "../streams/status-error.ts";
import type { OpenedBody, StreamBodies } from "../streams/stream-bodies.ts";
import type { ItemEncoding } from "../streams/stream-body.ts";
import { type CallForm, findForm, readTimeout } from "./call-forms.ts";
import { readEnvelope } from "./request-envelope.ts";
import type { SpecService } from "./spec-service.ts";

/** How a response to `StreamConfigSpec` begins, and its body. */
export interface WebStream {
  readonly headers: Readonly<Record<string, string>>;
  /** The stream, or the frame of a refusal. */
  readonly body: OpenedBody["body"] | Uint8Array;
}

/**
 * Serves `StreamConfigSpec` over Connect and gRPC-Web by web standard requests. The Connect library would encode each version for each
 * client, and hold several versions for a client that does not read.
 */
export class WebStreams {
  readonly #service: SpecService;
  readonly #bodies: StreamBodies;

  constructor(service: SpecService, bodies: StreamBodies) {
    this.#service = service;
    this.#bodies = bodies;
  }

  /** Returns undefined for a request that is left to the Connect library. */
  open(request: Request): Promise<WebStream> | undefined {
    const form = findForm(request.headers);
    const endFrame = form?.endFrame;
    return form && endFrame && this.#open(request, form, endFrame);
  }

  async #open(request: Request, form: CallForm, endFrame: EndFrame): Promise<WebStream> {
    const { headers, signal } = request;
    const contentType = { "content-type": form.contentType };
    try {
      const deadlineMs = readTimeout(headers, form);
      const message = readEnvelope(new Uint8Array(await request.arrayBuffer()), form);
      const asked = this.#service.toRequest(message, { isGrpc: form.isGrpc, headers: () => headers });
      const encoding = new EnvelopeEncoding(form, endFrame);
      const { body, held } = await this.#bodies.open({ request: asked, encoding, signal, deadlineMs });
      return { headers: { ...contentType, ...this.#service.metadata(held) }, body };
    } catch (error) {
      const frame = endFrame(this.#service.statusOf(error));
      return { headers: { ...contentType, ...this.#service.metadata() }, body: frame };
    }
  }
}

type EndFrame = (reason: StatusError) => Uint8Array;

/** The messages and the end of a stream as Connect and gRPC-Web frame them. */
class EnvelopeEncoding implements ItemEncoding {
  readonly #form: CallForm;
  readonly #endFrame: EndFrame;

  constructor(form: CallForm, endFrame: EndFrame) {
    this.#form = form;
    this.#endFrame = endFrame;
  }

  prepare(): undefined {
    return undefined;
  }

  encode(item: SpecItem): SharedFrame {
    return [this.#form.toFrame(item)];
  }

  end(reason: StatusError): SharedFrame {
    return [this.#endFrame(reason)];
  }
}
