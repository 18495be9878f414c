/** A telemetry event of the gate `enable_gcp_profiler_for_sfp`. `lcut` is the version of the config specs, ms since the Unix epoch. */
export type ProfilingGateEvent =
  /** A version turned profiling on or off. `rule`: the ID of the rule that decided; undefined if the version has no such gate. */
  | {
      readonly kind: "profiling_gate_turned";
      readonly isOn: boolean;
      readonly lcut: number;
      readonly rule: string | undefined;
    }
  /** A version was evaluated. */
  | { readonly kind: "profiling_gate_evaluated"; readonly lcut: number }
  /** A version could not be evaluated: profiling stays as it is. */
  | {
      readonly kind: "profiling_gate_failed";
      readonly lcut: number;
      readonly detail: string;
      /** Undefined if it is not tried again, since the version is what fails. */
      readonly retryInMs: number | undefined;
    }
  /** The gate depends on an ID list, which the relay does not evaluate: no user is in it. */
  | { readonly kind: "profiling_gate_uses_id_list"; readonly lcut: number; readonly list: string };

export type EmitProfilingGateEvent = (event: ProfilingGateEvent) => void;
