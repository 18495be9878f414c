import { LRUCache } from "lru-cache";
import type { RequestHeaders } from "../../http/observer.ts";
import { OTHER } from "./registry.ts";

/** What a client says about itself: the tags of the original proxy since 4.2. */
export interface ClientTags {
  readonly sdk_type: string;
  readonly sdk_version: string;
  readonly client_service: string;
}

/** The tags of clients that were not recognized, or came after too many others. */
export const OTHER_CLIENT: ClientTags = { sdk_type: OTHER, sdk_version: OTHER, client_service: OTHER };

const NOT_SENT = "unknown";

const SDK_TYPE = /^[a-z][a-z0-9-]{0,39}$/;
const SDK_VERSION = /^\d[\w.+-]{0,31}$/;
const SERVICE = /^[\w./-]{1,64}$/;

/** The beginnings of SDK keys, which a misconfigured client may send in any header. */
const KEY_LIKE = /^(secret|client|server|console)-/i;

/** Longer headers are not kept as keys of the cache. */
const MAX_HEADERS_CHARS = 200;

/** Header values that are remembered. A client always sends the same ones. */
const MAX_CACHED = 1_000;

/**
 * Reads which SDK and service sent a request. Clients can send anything: a value of another form becomes `other`, and so do all
 * new combinations once `maxClients` are known.
 */
export class ClientTagReader {
  readonly #maxClients: number;
  readonly #clients = new Map<string, ClientTags>();
  readonly #byHeaders = new LRUCache<string, ClientTags>({ max: MAX_CACHED });
  /** The headers of the latest request and their tags, since requests of one kind of client often come in a row. */
  #last: { type: string; version: string; service: string; tags: ClientTags } | undefined;

  constructor(maxClients: number) {
    this.#maxClients = maxClients;
  }

  /** Returns the same object for the same tags. This is on the hot path. */
  read(headers: RequestHeaders): ClientTags {
    const type = headers.get("statsig-sdk-type") ?? "";
    const version = headers.get("statsig-sdk-version") ?? "";
    const service = headers.get("x-request-service") ?? "";
    const last = this.#last;
    if (type === last?.type && version === last.version && service === last.service) return last.tags;
    const tags = this.#find(type, version, service);
    this.#last = { type, version, service, tags };
    return tags;
  }

  #find(type: string, version: string, service: string): ClientTags {
    const sent = `${type}\0${version}\0${service}`;
    const known = this.#byHeaders.get(sent);
    if (known !== undefined) return known;
    if (sent.length > MAX_HEADERS_CHARS) return OTHER_CLIENT;
    const tags = this.admit({
      sdk_type: toTag(type, SDK_TYPE),
      sdk_version: toTag(version, SDK_VERSION),
      client_service: toTag(service, SERVICE),
    });
    this.#byHeaders.set(sent, tags);
    return tags;
  }

  /** Returns the tags, or those of other clients if they are new and too many are known. */
  admit(tags: ClientTags): ClientTags {
    const id = Object.values(tags).join("\0");
    const known = this.#clients.get(id);
    if (known !== undefined) return known;
    if (this.#clients.size >= this.#maxClients) return OTHER_CLIENT;
    this.#clients.set(id, tags);
    return tags;
  }
}

/** The first product of a User-Agent, such as `python-requests/2.32.0`. */
const PRODUCT = /^([A-Za-z][\w.-]{0,39})\/(\d[\w.+-]{0,31})(?=$|[\s,;(])/;

/** Returns the kind of SDK that sent a request, and its version: from its headers, else from its User-Agent; well-formed whatever it sent. */
export function readSdk(headers: Pick<RequestHeaders, "get">): {
  readonly type: string;
  readonly version: string;
} {
  const type = toTag(headers.get("statsig-sdk-type") ?? "", SDK_TYPE);
  const version = toTag(headers.get("statsig-sdk-version") ?? "", SDK_VERSION);
  if (type !== NOT_SENT) return { type, version: version === NOT_SENT || type === OTHER ? "" : version };
  const [, product = "", productVersion = ""] = PRODUCT.exec(headers.get("user-agent") ?? "") ?? [];
  if (product === "" || KEY_LIKE.test(product)) return { type: OTHER, version: "" };
  return { type: product, version: productVersion };
}

function toTag(sent: string, form: RegExp): string {
  const text = sent.trim();
  if (text === "") return NOT_SENT;
  return form.test(text) && !KEY_LIKE.test(text) ? text : OTHER;
}
