import { sendRequest } from "#runtime/requests.ts";
import { describeNetworkError } from "../../platform/network-errors.ts";

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

  /** Resolves with why there is none, or undefined if there is one. Rejects when `signal` is aborted. */
  async findProblem(signal: AbortSignal): Promise<string | undefined> {
    try {
      const { status, isGoogle } = await this.#get("project/project-id", signal);
      if (!isGoogle) return "another server answers at its address";
      return status === 200 || status === 404 ? undefined : `it answers ${status}`;
    } catch (error) {
      signal.throwIfAborted();
      const isLate = (error as Error).name === "TimeoutError";
      return isLate ? `no answer within ${LIMIT_MS / 1_000} s` : describeNetworkError(error);
    }
  }

  /** Resolves with a value such as that of `instance/zone`, or undefined if there is none or it cannot be read. */
  async read(path: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const { status, isGoogle, text } = await this.#get(path, signal);
      return isGoogle && status === 200 && text !== "" ? text : undefined;
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  async #get(path: string, signal: AbortSignal) {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
    // The server refuses requests without the header, so that a web page or a redirect cannot read it.
    const headers = { "metadata-flavor": FLAVOR };
    const url = `${this.#baseUrl}/${path}`;
    const response = await sendRequest(url, { headers, signal: limited, redirect: "manual" });
    const text = (await response.text()).slice(0, MAX_CHARS).trim();
    const isGoogle = response.headers.get("metadata-flavor") === FLAVOR;
    return { status: response.status, isGoogle, text };
  }
}

const FLAVOR = "Google";

/** It answers within milliseconds. Outside Google's network, packets to its address may be lost without an error. */
const LIMIT_MS = 3_000;

/** Longer than any zone or name. */
const MAX_CHARS = 300;
