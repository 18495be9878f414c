import type { SdkKey } from "../../access/sdk-key.ts";
import type { OptionGroup, VariableSpec } from "../option.ts";
import { type Environment, invalidValue, readUrl, type Settings } from "../settings.ts";
import { parseServerSdkKey, readStatsigTags } from "./monitoring.ts";

export interface ProfilingConfig {
  readonly cloud: CloudProfilingConfig;
  /**
   * The gate that turns Google Cloud Profiler on and off. Undefined without the SDK key of its project, and if profiles are sent whatever
   * it says.
   */
  readonly gate: ProfilingGateConfig | undefined;
}

interface ProfilingGateConfig {
  /** `STATSIG_SERVER_SDK_KEY`. */
  readonly sdkKey: SdkKey;
  /** The custom IDs of the user that the gate is evaluated for, by their names: `--statsig-logging-tags`. */
  readonly customIds: Readonly<Record<string, string>>;
}

/** How Google Cloud Profiler is reached, and what profiles are labelled with. */
interface CloudProfilingConfig {
  /** `--force-gcp-profiling-enabled`: profiles are sent whatever a gate says. */
  readonly isForced: boolean;
  /** The name that profiles are grouped under: `target` of the deployment. */
  readonly service: string;
  /** The version of the deployment. Undefined if no variable names it: then it is the version of the relay. */
  readonly version: string | undefined;
  /** Undefined if the credentials or the metadata server have to name it. */
  readonly project: string | undefined;
  /** URL of the API, without `/v2`. */
  readonly endpoint: string;
  /** Host of the metadata server, with a port if that is not 80. */
  readonly metadataHost: string;
}

const DEFAULT_SERVICE = "statsig-forward-proxy";

/** `Deployment.target` in google/devtools/cloudprofiler/v2/profiler.proto. */
const SERVICE = /^[a-z]([-a-z0-9_.]{0,253}[a-z0-9])?$/;

/** `Deployment.project_id` there. */
const PROJECT = /^[a-z][-a-z0-9:.]{4,61}[a-z0-9]$/;

/** Throws {@link ConfigError}. */
export function readProfiling(settings: Settings, env: Environment): ProfilingConfig {
  const isForced = settings.flag(PROFILING.forceGcpProfilingEnabled);
  return {
    gate: isForced ? undefined : readGate(settings, env),
    cloud: {
      isForced,
      service: readService(settings, env),
      // The last one is what the original proxy takes.
      version: env["K_REVISION"] || env["GAE_VERSION"] || env["DD_VERSION"] || undefined,
      project: readProject(settings, env),
      endpoint: readUrl(env, ENDPOINT, DEFAULT_ENDPOINT).replace(/\/+$/, ""),
      metadataHost: readMetadataHost(env),
    },
  };
}

/** The key may be one that nothing can use: it does not stop the start, which would fail for a gate that few have. */
function readGate(settings: Settings, env: Environment): ProfilingGateConfig | undefined {
  const sdkKey = parseServerSdkKey(env["STATSIG_SERVER_SDK_KEY"] ?? "");
  return sdkKey && { sdkKey, customIds: readStatsigTags(settings, env) };
}

/** As Google's library reads it, which takes a URL as well. */
function readMetadataHost(env: Environment): string {
  const given = env["GCE_METADATA_IP"] || env["GCE_METADATA_HOST"] || DEFAULT_METADATA_HOST;
  return given.replace(/^https?:\/\//, "").replace(/\/+$/, "");
}

/** A name that a platform gives, and that the API does not allow, is passed over. */
function readService(settings: Settings, env: Environment): string {
  const given = settings.text(PROFILING.gcpProfilerService);
  if (given === "") {
    const names = [env["K_SERVICE"], env["GAE_SERVICE"]];
    return names.find((name) => name !== undefined && SERVICE.test(name)) ?? DEFAULT_SERVICE;
  }
  if (SERVICE.test(given)) return given;
  const expected =
    "1 to 255 lower-case letters, digits and - _ . that begin with a letter and end with a letter or digit";
  throw invalidValue(settings.shown(PROFILING.gcpProfilerService), given, expected);
}

function readProject(settings: Settings, env: Environment): string | undefined {
  const given = settings.text(PROFILING.gcpProfilerProject);
  if (given === "") return PROJECT_VARIABLES.map((name) => env[name]).find(Boolean);
  if (PROJECT.test(given)) return given;
  const expected = "the ID of a Google Cloud project, such as my-project-123, not its number or name";
  throw invalidValue(settings.shown(PROFILING.gcpProfilerProject), given, expected);
}

/** The options of profiling, in the order of `--help`. */
export const PROFILING = {
  forceGcpProfilingEnabled: {
    name: "force-gcp-profiling-enabled",
    kind: "flag",
    description: "Send profiles of CPU and memory to Google Cloud Profiler",
  },
  gcpProfilerService: {
    name: "gcp-profiler-service",
    kind: "text",
    placeholder: "NAME",
    description:
      "Service name in Google Cloud Profiler (Default: K_SERVICE, GAE_SERVICE or statsig-forward-proxy)",
  },
  gcpProfilerProject: {
    name: "gcp-profiler-project",
    kind: "text",
    placeholder: "ID",
    description:
      "Project that profiles are sent to (Default: GOOGLE_CLOUD_PROJECT, GCP_PROJECT, or that of the credentials or the machine)",
  },
} as const satisfies OptionGroup;

const PROJECT_VARIABLES = ["GOOGLE_CLOUD_PROJECT", "GCP_PROJECT"] as const;

const ENDPOINT = "SFP_GCP_PROFILER_ENDPOINT";
const DEFAULT_ENDPOINT = "https://cloudprofiler.googleapis.com";

const DEFAULT_METADATA_HOST = "169.254.169.254";

/** The variables of Google Cloud Profiler. Google's platforms and libraries have those without the prefix of the relay. */
export const PROFILING_VARIABLES: readonly VariableSpec[] = [
  {
    name: "GOOGLE_APPLICATION_CREDENTIALS",
    default: "the metadata server",
    description: "JSON file with the credentials: a service account or workload identity federation",
  },
  {
    name: PROJECT_VARIABLES[0],
    variants: [PROJECT_VARIABLES[1]],
    description: "Project that profiles are sent to, unless --gcp-profiler-project is set",
  },
  {
    name: "K_SERVICE",
    variants: ["GAE_SERVICE"],
    description:
      "Service name of profiles, unless --gcp-profiler-service is set; set by Cloud Run and App Engine",
  },
  {
    name: "K_REVISION",
    variants: ["GAE_VERSION"],
    default: "the value of DD_VERSION, or the version of the relay",
    description: "Version label of profiles; set by Cloud Run and App Engine",
  },
  {
    name: "GCE_METADATA_HOST",
    variants: ["GCE_METADATA_IP"],
    default: DEFAULT_METADATA_HOST,
    description: "Host and port of the metadata server of Google Cloud",
  },
  {
    name: ENDPOINT,
    default: DEFAULT_ENDPOINT,
    description: "URL of the API of Cloud Profiler, such as one of Private Service Connect",
  },
];
