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
  /** A request without the token, or with a wrong one. */
  | { readonly kind: "operator_refused"; readonly from: string };

export type EmitOperatorEvent = (event: OperatorEvent) => void;
