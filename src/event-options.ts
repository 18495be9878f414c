import type { OptionSpec } from "./option-spec.ts";

/** The options of what happens to SDKs' events, in the order of `--help`. */
export const EVENT_OPTIONS = [
  {
    name: "log-event-process-queue-size",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 10_000_000,
    placeholder: "BATCHES",
    description: "Batches of SDKs' events that may wait to be forwarded; beyond, SDKs are told to try later",
  },
  {
    name: "log-event-dedupe",
    kind: "text",
    default: "true",
    words: ["true", "false"],
    placeholder: "true|false",
    description: "Whether exposures that repeat an earlier one of the same minute are left out",
  },
  {
    name: "log-event-flush-interval-in-ms",
    kind: "integer",
    default: "1000",
    min: 0,
    max: 60_000,
    placeholder: "MS",
    description: "How long events wait for more of their kind before they are forwarded",
  },
  {
    name: "max-request-body-in-mb",
    kind: "integer",
    default: "5",
    min: 1,
    max: 64,
    placeholder: "MB",
    description: "The largest body with events, before and after decompression",
  },
  {
    name: "max-events-per-request",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 1_000_000,
    placeholder: "EVENTS",
    description: "Events of one request; beyond, 413",
  },
  {
    name: "event-spool-path",
    kind: "text",
    placeholder: "FOLDER",
    description: "Folder to keep events in until they are forwarded; without it they wait in memory",
  },
  {
    name: "event-spool-max-in-mb",
    kind: "integer",
    default: "512",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Size of that folder; beyond, the oldest events go",
  },
] as const satisfies readonly OptionSpec[];
