import type { VariableSpec } from "./variable-spec.ts";

/** Where metrics go, and how: but for OTLP. */
export const METRIC_VARIABLES: readonly VariableSpec[] = [
  {
    name: "EVENT_CHANNEL_SIZE",
    default: "50000",
    description: "Measurements that may wait for each place that they are sent to",
  },
  {
    name: "DATADOG_MAX_BATCH_TIME_MS",
    default: "10000",
    description: "How often measurements are sent",
  },
  { name: "STATSD_HOST_OVERRIDE", default: "127.0.0.1", description: "Where StatsD or Datadog's agent is" },
  { name: "STATSD_PORT_OVERRIDE", default: "8125", description: "Its UDP port" },
  { name: "STATSD_SOCKET", description: "Its Unix datagram socket, in the place of host and port" },
  {
    name: "DATADOG_SENDER_BUFFER_SIZE",
    default: "that of EVENT_CHANNEL_SIZE",
    description: "Measurements that may wait for StatsD or Datadog's agent",
  },
  {
    name: "DATADOG_MAX_BATCH_EVENT_COUNT",
    default: "3000",
    description: "Lines that are handed over to StatsD at one time",
  },
  { name: "DOGSTATSD_MAX_BUFFER_SIZE", default: "8000", description: "Bytes of a datagram to StatsD" },
  {
    name: "DOGSTATSD_MAX_TIME_MS",
    default: "30000",
    description:
      "How long lines may wait for more in their datagram; the end of each batch sends them anyhow",
  },
  {
    name: "DOGSTATSD_MAX_RETRY_ATTEMPT",
    default: "3",
    description: "How often a datagram is tried again before its batch is given up",
  },
  {
    name: "DOGSTATSD_INITIAL_RETRY_DELAY",
    default: "10",
    description: "Milliseconds before that is done first, doubled each time",
  },
  { name: "DD_ENV", description: "The tag env of every line to StatsD" },
  { name: "DD_SERVICE", description: "The tag service of every line to StatsD" },
  { name: "DD_VERSION", description: "The tag version of every line to StatsD" },
  {
    name: "STATSIG_SERVER_SDK_KEY",
    isSecret: true,
    description: "Of the project that --statsig-logging sends metrics to",
  },
];
