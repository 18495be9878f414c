import type { MetricRow } from "./metric.ts";

/** Of config specs, the backup, RPCs, SDKs' events and ID lists, beyond what operators know. */
export const FLOW_METRICS = [
  {
    name: "PayloadRefused",
    kinds: ["count"],
    tags: ["sdk_key", "path", "reason"],
    description: "Config specs of upstream that were not taken: damaged, cut short, older, or another key's",
  },
  {
    name: "PollWait",
    kinds: ["count", "latency"],
    tags: [],
    description:
      "Polls of upstream that began, and how long they waited for their turn (-u), without those of feeds that hung before",
  },
  {
    name: "SdkKeyUnauthorized",
    kinds: ["count"],
    tags: ["state"],
    description: "Answers 401 or 403 of upstream; state says what became of what was held",
  },
  {
    name: "ConfigSpecEvicted",
    kinds: ["count"],
    tags: ["reason"],
    description: "Feeds that made room for those of another SDK key, or found none",
  },
  {
    name: "ConfigSpecLcutTimestampMs",
    kinds: ["gauge"],
    tags: ["sdk_key", "path", "format"],
    rest: "smallest",
    description: "Version of each feed that is held, ms since 1970",
  },
  {
    name: "ConfigSpecConfirmedAgeS",
    kinds: ["gauge"],
    tags: ["sdk_key", "path", "format"],
    rest: "largest",
    description:
      "Seconds since upstream last said that what is held is the newest; until it first did, since it is held",
  },
  {
    name: "ConfigSpecBytes",
    kinds: ["gauge"],
    tags: ["sdk_key", "path", "format"],
    description: "Size of each feed that is held, uncompressed",
  },
  {
    name: "SdkKeysHeld",
    kinds: ["gauge"],
    tags: [],
    description: "SDK keys of which config specs are held",
  },
  {
    name: "BackupUnusable",
    kinds: ["count"],
    tags: ["source"],
    description: "Entries of the backup that can't be used, and versions set aside as damaged",
  },
  {
    name: "BackupFailed",
    kinds: ["count"],
    tags: ["source", "action"],
    description: "Reads and writes of the backup that failed",
  },
  {
    name: "BackupUp",
    kinds: ["gauge"],
    tags: ["source"],
    description: "1 while the backup can be read and written, else 0",
  },
  {
    name: "RedisPermissionsMissing",
    kinds: ["gauge"],
    tags: [],
    description: "Permissions that the Redis user is known to lack",
  },
  {
    name: "FleetLooked",
    kinds: ["count"],
    tags: ["state"],
    description:
      "Feeds that were due in a fleet: confirmed by another relay, claimed by one that asks upstream, ours to ask for, or failed where Redis did not say",
  },
  {
    name: "GrpcServerRequest",
    kinds: ["count", "latency"],
    tags: ["sdk_key", "path", "code"],
    description: "Unary RPCs that were answered, by status code",
  },
  {
    name: "GrpcStreamsAllowed",
    kinds: ["gauge"],
    tags: [],
    description: "How many gRPC streams may be open, --grpc-max-concurrent-streams",
  },
  {
    name: "GrpcStreamRefused",
    kinds: ["count"],
    tags: ["code"],
    description: "Streams that were refused, by status code",
  },
  {
    name: "LogEventAccepted",
    kinds: ["count"],
    tags: ["sdk_key"],
    description: "Events taken over from SDKs, repeats included",
  },
  {
    name: "LogEventRequestRejected",
    kinds: ["count"],
    tags: ["reason"],
    description: "Requests with events that were not taken",
  },
  {
    name: "LogEventForwarded",
    kinds: ["count"],
    tags: ["sdk_key"],
    description: "Events that upstream has taken",
  },
  {
    name: "LogEventForwardRequest",
    kinds: ["count", "latency"],
    tags: ["sdk_key"],
    description: "Requests with events that upstream has taken",
  },
  {
    name: "LogEventForwardDelayed",
    kinds: ["count"],
    tags: [],
    description: "Requests with events that failed and are tried again",
  },
  {
    name: "LogEventDropped",
    kinds: ["count"],
    tags: ["reason"],
    description: "Events given up for good",
  },
  {
    name: "LogEventQueueFailed",
    kinds: ["count"],
    tags: ["action"],
    description: "Times that the queue of events could not be read or written",
  },
  {
    name: "LogEventQueueEvents",
    kinds: ["gauge"],
    tags: ["state"],
    description: "Events that wait for upstream, in memory or in the spool",
  },
  {
    name: "LogEventQueueBytes",
    kinds: ["gauge"],
    tags: ["state"],
    description: "Bytes of the events that wait for upstream",
  },
  {
    name: "LogEventQueueFilled",
    kinds: ["gauge"],
    tags: ["state"],
    description: "How full the queue of events is: 0 for empty, 1 for no room",
  },
  {
    name: "IdListUpdated",
    kinds: ["count"],
    tags: ["sdk_key", "source"],
    description: "Changed manifests of ID lists",
  },
  {
    name: "IdListFailed",
    kinds: ["count"],
    tags: ["reason"],
    description: "Manifests and files of ID lists that could not be fetched, kept or used",
  },
  {
    name: "IdListFileBytes",
    kinds: ["count"],
    tags: [],
    description: "Bytes of ID list files downloaded",
  },
] as const satisfies readonly MetricRow[];

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
