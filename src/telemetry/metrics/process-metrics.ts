import type { MetricRow } from "./metric.ts";

/** Metrics that the original proxy does not have: the process, access, limits, TLS and monitoring itself. */
export const PROCESS_METRICS = [
  {
    name: "KeyRefused",
    kinds: ["count"],
    tags: ["reason"],
    description: "Requests rejected for their SDK key",
  },
  {
    name: "AllowedKeysReloaded",
    kinds: ["count"],
    tags: ["state"],
    description: "Changed lists of allowed SDK keys, applied (taken_over) or rejected (refused)",
  },
  {
    name: "LimitReached",
    kinds: ["count"],
    tags: ["limit"],
    description: "Requests, streams or connections rejected or closed at a limit",
  },
  {
    name: "ClientVanished",
    kinds: ["count"],
    tags: [],
    description: "HTTP/2 connections closed because the client stopped responding",
  },
  {
    name: "Connections",
    kinds: ["gauge"],
    tags: ["protocol"],
    description: "Open connections",
  },
  {
    name: "RequestsInFlight",
    kinds: ["gauge"],
    tags: [],
    description: "Requests in flight that could not be served from memory at once",
  },
  {
    name: "CertificateLoaded",
    kinds: ["count"],
    tags: [],
    description: "Certificates loaded",
  },
  {
    name: "CertificateRefused",
    kinds: ["count"],
    tags: [],
    description: "New certificate files that were invalid",
  },
  {
    name: "CertificateExpiryTimestampS",
    kinds: ["gauge"],
    tags: [],
    description: "When the certificate expires, in seconds since 1970",
  },
  {
    name: "TlsClientRefused",
    kinds: ["count"],
    tags: [],
    description: "Failed TLS handshakes",
  },
  {
    name: "MeasurementsDropped",
    kinds: ["count"],
    tags: ["sink"],
    description: "Measurements, spans and profiles dropped because a sink was slow or failing",
  },
  {
    name: "SinkUp",
    kinds: ["gauge"],
    tags: ["sink"],
    description: "1 while a sink accepts what is sent to it, 0 while it fails",
  },
  {
    name: "CloudProfileUploaded",
    kinds: ["count"],
    tags: ["profile"],
    description: "Profiles that Google Cloud Profiler accepted: cpu or heap",
  },
  {
    name: "UnexpectedError",
    kinds: ["count"],
    tags: ["component"],
    description: "Bugs: unexpected errors that the relay survived; component is the loop or task",
  },
  {
    name: "ServingThreads",
    kinds: ["gauge"],
    tags: ["protocol", "state"],
    description:
      "Serving threads by protocol (http: HTTP/1.1; http2: gRPC and HTTPS) and state: running, or missing until replaced",
  },
  {
    name: "ServingThreadLost",
    kinds: ["count"],
    tags: ["reason"],
    description:
      "Serving threads that died, or hung (their event loop stopped) and were ended; each is replaced",
  },
  {
    name: "ConfigSpecRepublished",
    kinds: ["count"],
    tags: ["sdk_key", "path"],
    description: "Versions published again under a newer lcut, after a roll back or a release",
  },
  {
    name: "ConfigSpecHeldBack",
    kinds: ["count"],
    tags: ["sdk_key", "path"],
    description: "Newer versions from upstream that are not served, since their SDK key is pinned",
  },
  {
    name: "SdkKeysPinned",
    kinds: ["gauge"],
    tags: [],
    description: "SDK keys that are pinned to a version, by operators or --pin",
  },
  {
    name: "VersionHistoryBytes",
    kinds: ["gauge"],
    tags: [],
    description: "Memory of earlier versions that are kept for rolling back",
  },
  {
    name: "OperatorActions",
    kinds: ["count"],
    tags: ["action", "result"],
    description: "Requests to the operator API that changed something or read config specs",
  },
  {
    name: "Ready",
    kinds: ["gauge"],
    tags: [],
    description: "1 while the relay is ready, 0 while clients should use another one; /readyz says why",
  },
  {
    name: "BuildInfo",
    kinds: ["gauge"],
    tags: ["version"],
    description: "Always 1; version is the version of the relay",
  },
  {
    name: "StartTimestampS",
    kinds: ["gauge"],
    tags: [],
    description: "When the relay started, in seconds since 1970",
  },
  {
    name: "MemoryRssBytes",
    kinds: ["gauge"],
    tags: [],
    description: "Resident memory of the process",
  },
  {
    name: "MemoryLimitBytes",
    kinds: ["gauge"],
    tags: [],
    description:
      "Memory that the process may use: the limit of the container, otherwise the memory of the machine",
  },
] as const satisfies readonly MetricRow[];
