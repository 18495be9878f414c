import type { MetricRow } from "../metrics/metric.ts";
import type { Tags } from "../metrics/series.ts";
import { toPushedKeyTag } from "../metrics/tags.ts";

/** The versions of the original proxy that differ in how they write the tag `accept-encoding`. */
export const PUSH_TAG_FORMATS = ["4.1", "4.4"] as const;
export type PushTagFormat = (typeof PUSH_TAG_FORMATS)[number];

/** The original's tags, in its order. Those that it does not have come after them. */
const ORDER = [
  "sdk_key",
  "path",
  "file_id",
  "lcut",
  "status_code",
  "accept-encoding",
  "content-encoding",
  "sdk_type",
  "sdk_version",
  "client_service",
  "response_payload_type",
];

/** Tags that the original's lines have and the series of the relay do not: they would be the same in each of them. */
const CONSTANT_TAGS: Readonly<Record<string, Tags>> = {
  GrpcStreamingStreamedInitialized: { "accept-encoding": "plain_text" },
  GrpcStreamingStreamedResponse: { "accept-encoding": "plain_text" },
  GrpcStreamingHealthcheckSent: { "accept-encoding": "plain_text" },
  GrpcStreamingStreamDisconnected: { "accept-encoding": "plain_text" },
  GrpcStreamingStreamUnauthorized: { "accept-encoding": "plain_text" },
  StreamingChannelGotNewData: { "accept-encoding": "plain_text" },
  LogEventStoreDeduped: { path: "/v1/log_event" },
};

/** Gauges that the original sends as one line for all SDK keys: an average over several lines would be another number. */
export const PUSHED_AS_SUM: ReadonlySet<string> = new Set(["GrpcEstimatedActiveStreams"]);

/**
 * Returns the tags of a series as StatsD lines and Statsig events have them: in the names, order and form of the original proxy, so
 * that saved monitors keep working. `latest` are the tags of the latest measurement.
 */
export function toOriginalTags(
  { name }: Pick<MetricRow, "name">,
  { tags, latest }: { readonly tags: Tags; readonly latest: Tags },
  format: PushTagFormat,
): Tags {
  const own = { ...CONSTANT_TAGS[name], ...latest, ...tags };
  const names = [
    ...ORDER.filter((tag) => own[tag] !== undefined),
    ...Object.keys(own).filter((tag) => !ORDER.includes(tag)),
  ];
  const values = names.map((tag) => [tag, toOriginalValue(tag, own[tag] ?? "", format)] as const);
  // The original sends no tag without a value but this one.
  return Object.fromEntries(values.filter(([tag, value]) => value !== "" || tag === "content-encoding"));
}

function toOriginalValue(tag: string, value: string, format: PushTagFormat): string {
  switch (tag) {
    case "sdk_key":
      return toPushedKeyTag(value);
    case "path":
      return SLASHED_PATHS.has(value) ? `${value}/` : value;
    case "accept-encoding":
      return formatOffered(value, format);
    case "content-encoding":
      return value === "identity" ? "" : value;
    default:
      return value;
  }
}

/** The paths that the original normalizes; it shows others as they are. */
const SLASHED_PATHS: ReadonlySet<string> = new Set([
  "/v1/download_config_specs",
  "/v2/download_config_specs",
  "/v2/download_config_specs_deltas",
  "/v1/get_id_lists",
  "/v1/download_id_list_file",
  "/v1/log_event",
]);

/** The original's names of codings, in the order in which 4.1 lists them. */
const NAMES_4_1: Readonly<Record<string, string>> = {
  plain_text: "PlainText",
  gzip: "Gzip",
  br: "Brotli",
  "statsig-br": "StatsigBrotli",
  deflate: "Deflate",
  zstd: "Zstd",
};

const ORDER_4_4 = ["statsig-br", "gzip", "br", "zstd", "deflate", "plain_text"];

/** Formats the codings that a client offered, given as `br+gzip` or `none`. */
function formatOffered(label: string, format: PushTagFormat): string {
  const offered = label === "none" ? [] : label.split("+");
  if (offered.some((coding) => NAMES_4_1[coding] === undefined)) return label;
  if (format === "4.1") {
    const listed = Object.keys(NAMES_4_1).filter((coding) => offered.includes(coding));
    return `[${listed.map((coding) => NAMES_4_1[coding]).join(", ")}]`;
  }
  const listed = ORDER_4_4.filter((coding) => offered.includes(coding));
  return listed.join("+") || "none";
}
