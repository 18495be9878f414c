import type { FailureCause } from "../specs/source.ts";

/** What a response of an endpoint was good for. */
type EndpointResult =
  /** It is the newest known, or says that what is held is. */
  | "usable"
  /** The endpoint is behind: it has an older version than the relay, or has not had a confirmation for long. */
  | "lagging"
  /** 401 or 403. */
  | "unauthorized"
  | "failed";

/** Why the last request to an endpoint was of no use. */
export interface EndpointFailure {
  readonly cause: FailureCause | "unauthorized" | "refused";
  /** Text for logs and pages; never contains an SDK key. */
  readonly detail: string;
}

/** What happens to the endpoints of upstream, for logs and metrics. */
export type EndpointEvent =
  /** An endpoint was asked; `endpoint` is its host and port. */
  | { readonly kind: "endpoint_asked"; readonly endpoint: string; readonly result: EndpointResult }
  /** An endpoint fails repeatedly, so that others are asked first. Emitted for each failure. */
  | {
      readonly kind: "endpoint_failing";
      /** Without user name and password. */
      readonly url: string;
      readonly failure: EndpointFailure;
      /** The endpoint that is asked first now, without user name and password; undefined if all fail. */
      readonly using: string | undefined;
    }
  /** An endpoint that failed repeatedly responds again. */
  | { readonly kind: "endpoint_recovered"; readonly url: string; readonly using: string | undefined };

export type EmitEndpointEvent = (event: EndpointEvent) => void;
