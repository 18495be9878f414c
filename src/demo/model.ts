export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
export type JsonObject = { readonly [name: string]: Json };

export type IdType = "userID" | "stableID" | "companyID";

export type ConditionKind =
  | "public"
  | "pass_gate"
  | "fail_gate"
  | "ua_based"
  | "user_field"
  | "environment_field"
  | "current_time"
  | "user_bucket"
  | "unit_id";

export type ConditionOperator =
  | "gt"
  | "gte"
  | "lt"
  | "version_gte"
  | "any"
  | "none"
  | "str_starts_with_any"
  | "str_ends_with_any"
  | "str_matches"
  | "before"
  | "after"
  | "eq"
  | "in_segment_list"
  | "array_contains_any";

/** One condition of a rule. A rule matches if all its conditions do. */
export interface Condition {
  readonly type: ConditionKind;
  readonly targetValue: Json;
  readonly operator: ConditionOperator | null;
  readonly field: string | null;
  readonly additionalValues: { readonly [name: string]: string };
  readonly idType: IdType;
}

export interface Rule {
  readonly name: string;
  readonly groupName: string;
  readonly passPercentage: number;
  readonly conditions: readonly Condition[];
  readonly returnValue: boolean | JsonObject;
  readonly id: string;
  readonly salt: string;
  readonly idType: IdType;
  readonly configDelegate?: string;
  readonly isExperimentGroup?: boolean;
}

export type EntityKind = "feature_gate" | "segment" | "holdout" | "dynamic_config" | "experiment" | "layer";

/** An entity that SDKs evaluate for a user. The first rule that matches decides, or the default value if none does. */
export interface Spec {
  readonly name: string;
  readonly type: "feature_gate" | "dynamic_config";
  readonly entity: EntityKind;
  readonly salt: string;
  readonly enabled: boolean;
  readonly defaultValue: boolean | JsonObject;
  readonly rules: readonly Rule[];
  readonly idType: IdType;
  readonly version: number;
  readonly isActive?: boolean;
  readonly hasSharedParams?: boolean;
  readonly explicitParameters?: readonly string[];
}

/** The sample project at one revision, independent of its wire format. */
export interface SampleProject {
  readonly revision: number;
  /** The lcut: milliseconds since the epoch. */
  readonly timeMs: number;
  /** Unique per revision, since SDKs drop an update with the checksum that they already have. */
  readonly checksum: string;
  readonly companyId: string;
  readonly gates: readonly Spec[];
  /** Dynamic configs and experiments. */
  readonly configs: readonly Spec[];
  readonly layers: readonly Spec[];
  /** The experiments that are allocated in each layer, by its name. */
  readonly layerExperiments: { readonly [layer: string]: readonly string[] };
  readonly paramStores: { readonly [name: string]: JsonObject };
  readonly idLists: readonly string[];
}
