import type { DropInRow } from "../support/drop-in/row.ts";

/** The two relays that these rows observe, and what starts them: see metrics-settings.test.ts. */
export interface MetricSettingRow extends DropInRow {
  readonly check: MetricSettingCheck;
}

export type MetricSettingCheck =
  /** Some line of the first relay has this form. */
  | { readonly kind: "line"; readonly form: RegExp }
  /** No line of the first relay has this form. */
  | { readonly kind: "no line"; readonly form: RegExp }
  /** The output of the first relay has a line of this form, and none of the other. */
  | { readonly kind: "output"; readonly form: RegExp; readonly without: RegExp }
  /** Each datagram has at most this many bytes, and some have several lines. */
  | { readonly kind: "datagrams"; readonly maxBytes: number }
  /** Some event of the second relay has this form, as JSON. */
  | { readonly kind: "event"; readonly form: RegExp }
  /** No user has more than one event of this name in a request. */
  | { readonly kind: "one event"; readonly eventName: string }
  /** The collector of the second relay got metrics at this path, encoded like this. */
  | { readonly kind: "otlp"; readonly path: string; readonly protocol: string }
  /** Some attribute in the collector has this value; none begins with a colon. */
  | { readonly kind: "attribute"; readonly name: string; readonly value: string }
  /** A relay with these variables and `--otlp-logging` sends to this path. `{url}` is a collector, `{other}` another one. */
  | { readonly kind: "endpoint"; readonly env: Readonly<Record<string, string>>; readonly path: string }
  /** A relay with these variables and `--otlp-logging` does not start. */
  | { readonly kind: "refused"; readonly env: Readonly<Record<string, string>>; readonly error: RegExp };

const UPSTREAM_ENCODINGS = "`accept-encoding` from 4.2 on";
const LATENCIES = "latencies in StatsD lines";
const PLACE = "`STATSD_HOST_OVERRIDE` or `STATSD_PORT_OVERRIDE` alone";
const STATSIG = "`--statsig-logging`";
const PROTOCOL = "`OTEL_EXPORTER_OTLP_PROTOCOL`";
const ENDPOINT = "`OTEL_EXPORTER_ENDPOINT`";

const line = (form: RegExp): MetricSettingCheck => ({ kind: "line", form });

export const METRIC_SETTING_ROWS: readonly MetricSettingRow[] = [
  {
    name: "--statsd-logging with --datadog-logging",
    original: "sends latencies as distributions, each once",
    ours: "same",
    check: { kind: "no line", form: /\|ms\|/ },
  },
  {
    name: "HOSTNAME unset",
    original: "tags each line with pod_name:localhost",
    ours: "same",
    check: line(/,pod_name:localhost$/),
  },
  {
    name: "DD_VERSION, DD_ENV and DD_SERVICE unset",
    original: "sends no such tags",
    ours: "same",
    check: { kind: "no line", form: /,(env|service):/ },
  },
  {
    name: "STATSD_PORT_OVERRIDE alone",
    original: "ignores it: UDP 127.0.0.1:8125",
    ours: { does: "sends to 127.0.0.1 and that port", subject: PLACE },
    check: line(/HttpServerRequestSuccess/),
  },
  {
    name: "DOGSTATSD_MAX_TIME_MS",
    original: "the time after which lines in the buffer are sent",
    ours: { does: "takes it without effect", subject: "`DOGSTATSD_MAX_TIME_MS`" },
    check: line(/HttpServerRequestSuccess/),
  },
  {
    name: "DOGSTATSD_MAX_BUFFER_SIZE",
    original: "joins lines to datagrams of at most that size",
    ours: "same",
    check: { kind: "datagrams", maxBytes: 700 },
  },
  {
    name: "DATADOG_MAX_BATCH_TIME_MS without requests",
    original: "sends what is waiting when the next request arrives",
    ours: {
      does: "sends after each interval",
      subject: "`DATADOG_MAX_BATCH_TIME_MS`, `DATADOG_MAX_BATCH_EVENT_COUNT`",
    },
    check: line(/Ready\.gauge/),
  },
  {
    name: "--config-spec-current-lcut-sampling-interval-in-s 0",
    original: "turns off ConfigSpecCurrentLcut, since 4.5",
    ours: "same",
    check: { kind: "no line", form: /ConfigSpecCurrentLcut/ },
  },
  {
    name: "accept-encoding of a request for gzip and br, from 4.2 on",
    original: "accept-encoding:gzip+br",
    ours: { does: "with --push-tag-format 4.4 the same", subject: UPSTREAM_ENCODINGS },
    check: line(/HttpServerRequestSuccess\.latency.*,accept-encoding:gzip\+br,content-encoding:br,/),
  },
  {
    name: "accept-encoding of a request without Accept-Encoding, from 4.2 on",
    original: "accept-encoding:none",
    ours: { does: "with --push-tag-format 4.4 the same", subject: UPSTREAM_ENCODINGS },
    check: line(/HttpServerRequestSuccess\.latency.*,accept-encoding:none,/),
  },
  {
    name: "sdk_type from statsig-sdk-type, from 4.2 on",
    original: "the value of the header",
    ours: "same",
    check: line(/HttpServerRequestSuccess\.latency.*,content-encoding:br,sdk_type:py-server,/),
  },
  {
    name: "sdk_version from statsig-sdk-version, from 4.2 on",
    original: "the value of the header",
    ours: "same",
    check: line(/,sdk_type:py-server,sdk_version:0\.72\.1,/),
  },
  {
    name: "client_service from x-request-service, from 4.2 on",
    original: "the value of the header",
    ours: "same",
    check: line(/,sdk_version:0\.72\.1,client_service:checkout,/),
  },
  {
    name: "response_payload_type of config specs, from 4.2 on",
    original: "full",
    ours: "same",
    check: line(/client_service:checkout,response_payload_type:full,/),
  },
  {
    name: "response_payload_type of a response without a new version, from 4.2 on",
    original: "no_update",
    ours: "same",
    check: line(/client_service:checkout,response_payload_type:no_update,/),
  },
  {
    name: "a client that does not say what it is, from 4.2 on",
    original: "sdk_type, sdk_version and client_service are unknown",
    ours: "same",
    check: line(/,sdk_type:unknown,sdk_version:unknown,client_service:unknown,/),
  },
  {
    name: "response_payload_type of other routes, from 4.2 on",
    original: "no such tag",
    ours: "same",
    check: { kind: "no line", form: /path:\/v1\/health.*response_payload_type/ },
  },
  {
    name: "the sdk_key of a header that looks like a key, from 4.2 on",
    original: "the value of the header, whatever it is",
    ours: { does: "replaces it by other", subject: "values of clients in metric tags" },
    check: { kind: "no line", form: /client_service:secret/ },
  },
  {
    name: "a latency below 1 ms",
    original: "0",
    ours: { does: "sends fractions", subject: LATENCIES },
    check: line(/HttpServerRequestSuccess\.latency:\d+\.\d+\|d\|/),
  },
  {
    name: "the number of requests",
    original: "counts latencies only",
    ours: { does: "also sends a count", subject: "further metrics" },
    check: line(/HttpServerRequestSuccess\.count:\d+\|c\|/),
  },
  {
    name: "--debug-logging",
    original: "prints [Debug][Event: HttpServerRequestSuccess] with all tags",
    ours: { does: "prints lines of level debug", subject: "`--debug-logging`" },
    check: { kind: "output", form: / DEBUG http request /, without: /\[Debug\]/ },
  },
  {
    name: "--statsig-logging: names of events",
    original: "the names of StatsD lines",
    ours: "same",
    check: { kind: "event", form: /"eventName":"statsig\.forward_proxy\.HttpServerRequestSuccess\.latency"/ },
  },
  {
    name: "--statsig-logging: metadata of events",
    original: "the tags of the StatsD line",
    ours: "same",
    check: {
      kind: "event",
      form: /"sdk_key":"secret-AbCdEfGhIjKlM\*\*\*","path":"\/v2\/download_config_specs\/","lcut":"/,
    },
  },
  {
    name: "--statsig-logging: number of events",
    original: "one for each measurement",
    ours: { does: "one for each series and interval", subject: STATSIG },
    check: { kind: "one event", eventName: "statsig.forward_proxy.HttpServerRequestSuccess.latency" },
  },
  {
    name: "OTEL_EXPORTER_ENDPOINT with a path",
    original: "sends metrics to exactly that URL",
    ours: "same",
    check: { kind: "otlp", path: "/custom/metrics", protocol: "http/json" },
  },
  {
    name: "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
    original: "sends JSON",
    ours: "same",
    check: { kind: "otlp", path: "/custom/metrics", protocol: "http/json" },
  },
  {
    name: "attributes over OTLP",
    original: "begin with a colon",
    ours: { does: "sends the bare values", subject: "metrics over OTLP" },
    check: { kind: "attribute", name: "path", value: "/v2/download_config_specs" },
  },
  {
    name: "OTEL_EXPORTER_ENDPOINT without a path",
    original: "sends metrics to /",
    ours: { does: "sends them to /v1/metrics", subject: ENDPOINT },
    check: { kind: "endpoint", env: { OTEL_EXPORTER_ENDPOINT: "{url}" }, path: "/v1/metrics http/protobuf" },
  },
  {
    name: "OTEL_EXPORTER_ENDPOINT with OTEL_EXPORTER_OTLP_ENDPOINT",
    original: "uses the former",
    ours: { does: "uses the latter", subject: ENDPOINT },
    check: {
      kind: "endpoint",
      env: { OTEL_EXPORTER_ENDPOINT: "{other}", OTEL_EXPORTER_OTLP_ENDPOINT: "{url}" },
      path: "/v1/metrics http/protobuf",
    },
  },
  {
    name: "OTEL_EXPORTER_OTLP_PROTOCOL unset",
    original: "sends JSON",
    ours: { does: "sends protobuf", subject: PROTOCOL },
    check: {
      kind: "endpoint",
      env: { OTEL_EXPORTER_ENDPOINT: "{url}/a/metrics" },
      path: "/a/metrics http/protobuf",
    },
  },
  {
    name: "OTEL_EXPORTER_OTLP_PROTOCOL=http",
    original: "sends JSON",
    ours: { does: "does not start", subject: PROTOCOL },
    check: {
      kind: "refused",
      env: { OTEL_EXPORTER_OTLP_PROTOCOL: "http" },
      error:
        /invalid value "http" for OTEL_EXPORTER_OTLP_PROTOCOL \(expected http\/protobuf, http\/json or grpc\)/,
    },
  },
  {
    name: "OTEL_EXPORTER_ENDPOINT that is no URL",
    original: "sends no metrics, without an error",
    ours: { does: "does not start", subject: ENDPOINT },
    check: {
      kind: "refused",
      env: { OTEL_EXPORTER_ENDPOINT: "collector:4318" },
      error:
        /invalid value "collector:4318" for OTEL_EXPORTER_ENDPOINT \(expected an http:\/\/ or https:\/\/ URL\)/,
    },
  },
];
