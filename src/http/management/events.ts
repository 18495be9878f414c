import type { SdkKey } from "../../access/sdk-key.ts";

/** What operators do through the operator API of the management port. */
export type OperatorEvent =
  | {
      /** An operator changed something, or read config specs. Logged each time: this is the audit trail. */
      readonly kind: "operator_acted";
      /** In one or two words, such as `roll back`. */
      readonly action: string;
      /** The SDK key concerned; undefined if it is all of them. */
      readonly sdkKey?: SdkKey | undefined;
      /** The IP address of the client. */
      readonly from: string;
      /** What the operator asked for and what came of it. Contains no SDK key and no value of a config. */
      readonly detail: Readonly<Record<string, string | number | boolean>>;
    }
  /** A profile was taken at a debug endpoint, which costs all clients a little time. Logged each time. */
  | {
      readonly kind: "profile_taken";
      readonly profile: "cpu" | "heap";
      /** The IP address of the client. */
      readonly from: string;
      readonly durationMs: number;
      readonly threads: number;
      /** The names of threads that did not reply. */
      readonly missing: readonly string[];
      readonly bytes: number;
    }
  /** A request without the token, or with a wrong one. */
  | { readonly kind: "operator_refused"; readonly from: string };

export type EmitOperatorEvent = (event: OperatorEvent) => void;
