/** Who turned the agent on: the command line, or a gate of Statsig. */
export type CloudProfilerSource = "flag" | "gate";

export type CloudProfilerEvent =
  /** It has credentials, and asks for its first profile. */
  | {
      readonly kind: "cloud_profiler_started";
      readonly source: CloudProfilerSource;
      readonly service: string;
      readonly version: string;
      readonly project: string;
      /** Undefined outside Google Cloud. */
      readonly zone: string | undefined;
      /** Where they come from, and for which account, if they say. */
      readonly credentials: string;
      readonly account: string | undefined;
    }
  | { readonly kind: "cloud_profiler_stopped" }
  | {
      readonly kind: "cloud_profile_uploaded";
      readonly profile: "cpu" | "heap";
      readonly bytes: number;
      /** From the request for the profile to the end of the upload. */
      readonly tookMs: number;
      /** The first one since the agent started. */
      readonly isFirst: boolean;
    }
  /** The server asked for what the relay does not make. */
  | { readonly kind: "cloud_profile_skipped"; readonly reason: string };

export type EmitCloudProfilerEvent = (event: CloudProfilerEvent) => void;
