import type { MetricRow } from "./metric-row.ts";

/** Of the process, of who may ask, and of monitoring itself. */
export const PROCESS_METRICS = [
  {
    name: "KeyRefused",
    kinds: ["count"],
    tags: ["reason"],
    description: "Requests with an SDK key that may not ask",
  },
  {
    name: "AllowedKeysReloaded",
    kinds: ["count"],
    tags: ["state"],
    description: "Changed lists of allowed SDK keys, taken over or refused",
  },
  {
    name: "LimitReached",
    kinds: ["count"],
    tags: ["limit"],
    description: "Requests, streams or connections refused or cut at a limit",
  },
  {
    name: "ClientVanished",
    kinds: ["count"],
    tags: [],
    description: "HTTP/2 connections closed since their client no longer answered",
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
    description: "Requests being worked on that could not be answered from memory at once",
  },
  {
    name: "CertificateLoaded",
    kinds: ["count"],
    tags: [],
    description: "Certificates taken over",
  },
  {
    name: "CertificateRefused",
    kinds: ["count"],
    tags: [],
    description: "New certificate files that can't be used",
  },
  {
    name: "CertificateExpiryTimestampS",
    kinds: ["gauge"],
    tags: [],
    description: "When the certificate expires, seconds since 1970",
  },
  {
    name: "TlsClientRefused",
    kinds: ["count"],
    tags: [],
    description: "Clients refused by TLS",
  },
  {
    name: "MeasurementsDropped",
    kinds: ["count"],
    tags: ["sink"],
    description: "Measurements that a slow or failing place of monitoring did not get",
  },
  {
    name: "SinkUp",
    kinds: ["gauge"],
    tags: ["sink"],
    description: "1 while a place of monitoring takes what is sent to it, 0 from its first failure on",
  },
  {
    name: "UnexpectedError",
    kinds: ["count"],
    tags: ["component"],
    description: "Errors that are bugs, after which the relay went on; component is the loop or task",
  },
  {
    name: "Ready",
    kinds: ["gauge"],
    tags: [],
    description: "1 while the relay is ready, 0 while clients should go elsewhere; /readyz says why",
  },
  {
    name: "BuildInfo",
    kinds: ["gauge"],
    tags: ["version"],
    description: "Always 1; version is the relay's",
  },
  {
    name: "StartTimestampS",
    kinds: ["gauge"],
    tags: [],
    description: "When the relay started, seconds since 1970",
  },
  {
    name: "MemoryRssBytes",
    kinds: ["gauge"],
    tags: [],
    description: "Memory of the process",
  },
  {
    name: "MemoryLimitBytes",
    kinds: ["gauge"],
    tags: [],
    description: "Memory that the process may use: what its container has, else the machine",
  },
] as const satisfies readonly MetricRow[];
