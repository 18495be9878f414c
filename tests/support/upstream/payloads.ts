/** The size limit of payloads by default. */
export const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;

/** A minimal project: one gate `gate_public` and one config `config_public`, the same for all users. */
export interface SpecOptions {
  /** The version, ms since the epoch. */
  readonly lcut: number;
  readonly gateValue?: boolean;
  /** Field `color` of the config. */
  readonly color?: string;
  /** Writes `hashed_sdk_key_used` for this key. */
  readonly sdkKey?: string;
  readonly checksum?: string;
}

type Json = Record<string, unknown>;

export interface SpecV1 extends Json {
  time: number;
  company_id: string;
  feature_gates: Json[];
  dynamic_configs: Json[];
}

export interface SpecV2 extends Json {
  time: number;
  company_id: string;
  feature_gates: Record<string, Json>;
  dynamic_configs: Record<string, Json>;
  condition_map: Record<string, Json>;
}

/** Statsig's hash of an SDK key, as in `hashed_sdk_key_used`. */
export function djb2(text: string): string {
  let hash = 0;
  for (let at = 0; at < text.length; at++) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0;
  return String(hash >>> 0);
}

export const everyone = {
  type: "public",
  targetValue: null,
  operator: null,
  field: null,
  additionalValues: {},
  idType: "userID",
};

interface Entity {
  readonly name: string;
  readonly type: "feature_gate" | "dynamic_config";
  readonly returnValue: unknown;
  readonly defaultValue: unknown;
  readonly passPercentage: number;
  readonly conditions: readonly unknown[];
  readonly salt?: string;
}

export const entity = ({
  name,
  type,
  returnValue,
  defaultValue,
  passPercentage,
  conditions,
  salt = name,
}: Entity): Json => ({
  name,
  type,
  salt,
  enabled: true,
  defaultValue,
  rules: [
    {
      name: "everyone",
      groupName: "everyone",
      passPercentage,
      conditions,
      returnValue,
      id: `rule_${salt}`,
      salt: `rule_salt_${salt}`,
      idType: "userID",
    },
  ],
  idType: "userID",
  entity: type,
  version: 1,
});

const gate = ({ gateValue = true }: SpecOptions, conditions: unknown[]): Json =>
  entity({
    name: "gate_public",
    type: "feature_gate",
    returnValue: true,
    defaultValue: false,
    passPercentage: gateValue ? 100 : 0,
    conditions,
  });

const config = ({ color = "blue" }: SpecOptions, conditions: unknown[]): Json =>
  entity({
    name: "config_public",
    type: "dynamic_config",
    returnValue: { color },
    defaultValue: { color: "default" },
    passPercentage: 100,
    conditions,
  });

const topLevel = ({ lcut, sdkKey, checksum = djb2(`checksum of ${lcut}`) }: SpecOptions) => ({
  has_updates: true,
  time: lcut,
  company_id: "company",
  checksum,
  id_lists: {},
  diagnostics: {},
  sdk_flags: {},
  sdk_configs: {},
  ...(sdkKey === undefined ? {} : { hashed_sdk_key_used: djb2(sdkKey) }),
});

export const specV1 = (options: SpecOptions): SpecV1 => ({
  feature_gates: [gate(options, [everyone])],
  dynamic_configs: [config(options, [everyone])],
  layer_configs: [],
  layers: {},
  ...topLevel(options),
});

export const specV2 = (options: SpecOptions): SpecV2 => ({
  feature_gates: { gate_public: gate(options, ["everyone"]) },
  dynamic_configs: { config_public: config(options, ["everyone"]) },
  layer_configs: {},
  condition_map: { everyone },
  experiment_to_layer: {},
  param_stores: {},
  response_format: "dcs-v2",
  ...topLevel(options),
});
