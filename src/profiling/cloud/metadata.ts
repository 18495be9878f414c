import { sendRequest } from "#runtime/requests.ts";
import { readBoundedText } from "../../platform/content/bounded-text.ts";
import { describeNetworkError } from "../../platform/network-errors.ts";

/** Whether a machine has a metadata server. `reason` completes a line. */
export type MetadataPresence =
  | { readonly kind: "present" }
  /** There is one, and it cannot be used now. */
  | { readonly kind: "failing"; readonly reason: string }
  | { readonly kind: "absent"; readonly reason: string };

export type MetadataReading =
  /** Undefined if the machine has no such value. */
  | { readonly kind: "read"; readonly value: string | undefined }
  /** It may be there at the next try. `reason` completes a line. */
  | { readonly kind: "failed"; readonly reason: string };

type Answer =
  | { readonly kind: "answered"; readonly status: number; readonly isGoogle: boolean; readonly text: string }
  | { readonly kind: "no_answer"; readonly reason: string };

/** The reading of a machine without a metadata server. */
export const NO_VALUE: MetadataReading = { kind: "read", value: undefined };

const TOO_MANY_REQUESTS = 429;

/**
 * Google's metadata server, which machines of Google Cloud have at a link-local address.
 * https://cloud.google.com/compute/docs/metadata/querying-metadata
 */
export class MetadataServer {
  readonly #baseUrl: string;

  /** `host` is a host name or an address, with a port if that is not 80. */
  constructor(host: string) {
    this.#baseUrl = `http://${host}/computeMetadata/v1`;
  }

  /** Finds out whether there is one. Rejects when `signal` is aborted. */
  async find(signal: AbortSignal): Promise<MetadataPresence> {
    const answer = await this.#ask("project/project-id", signal);
    if (answer.kind === "no_answer") return { kind: "absent", reason: answer.reason };
    if (!answer.isGoogle) return { kind: "absent", reason: "another server answers at its address" };
    const { status } = answer;
    return status === 200 || status === 404
      ? { kind: "present" }
      : { kind: "failing", reason: `it answers ${status}` };
  }

  /** Reads a value such as that of `instance/zone`. Rejects when `signal` is aborted. */
  async read(path: string, signal: AbortSignal): Promise<MetadataReading> {
    const answer = await this.#ask(path, signal);
    if (answer.kind === "no_answer") return { kind: "failed", reason: answer.reason };
    const { status, isGoogle, text } = answer;
    if (status >= 500 || status === TOO_MANY_REQUESTS)
      return { kind: "failed", reason: `it answers ${status}` };
    return { kind: "read", value: isGoogle && status === 200 && text !== "" ? text : undefined };
  }

  async #ask(path: string, signal: AbortSignal): Promise<Answer> {
    try {
      return { kind: "answered", ...(await this.#get(path, signal)) };
    } catch (error) {
      signal.throwIfAborted();
      const isLate = (error as Error).name === "TimeoutError";
      return {
        kind: "no_answer",
        reason: isLate ? `no answer within ${LIMIT_MS / 1_000} s` : describeNetworkError(error),
      };
    }
  }

  async #get(path: string, signal: AbortSignal) {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
    // The server refuses requests without the header, so that a web page or a redirect cannot read it.
    const headers = { "metadata-flavor": FLAVOR };
    const url = `${this.#baseUrl}/${path}`;
    const response = await sendRequest(url, { headers, signal: limited, redirect: "manual" });
    const text = ((await readBoundedText(response, MAX_BYTES)) ?? "").trim();
    const isGoogle = response.headers.get("metadata-flavor") === FLAVOR;
    return { status: response.status, isGoogle, text };
  }
}

const FLAVOR = "Google";

/** It answers within milliseconds. Outside Google's network, packets to its address may be lost without an error. */
const LIMIT_MS = 3_000;

/** More than any zone or name has. A longer answer, of another server, is not read. */
const MAX_BYTES = 1_000;
