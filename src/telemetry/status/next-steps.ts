import type { Problem, ProblemKind } from "./schema.ts";

/** A problem as the parts of the relay report it. */
export type FoundProblem = Omit<Problem, "next_step" | "doc">;

interface NextStep {
  /** What to do first. It must be enough for a reader who has only the executable. */
  readonly step: string;
  /** The document in `docs/` and its section. */
  readonly doc: string;
}

/** Clients keep what they have in nearly all of these cases, so that there is time to look before changing anything. */
const NEXT_STEPS: Readonly<Record<ProblemKind, NextStep>> = {
  not_ready: {
    step: "Look at the other problems: this one ends with its cause. Load balancers send no new clients to this relay until then, and those that it has are served.",
    doc: "monitoring.md, Readiness",
  },
  stale_feeds: {
    step: "Run `statsig-forward-proxy doctor` with the relay's options on its machine: it tries DNS, proxy, TLS and upstream one after the other. Clients keep the last config until upstream is back; restarting the relay does not help.",
    doc: "operations.md, Upstream",
  },
  upstream_failing: {
    step: "Run `statsig-forward-proxy doctor` with the relay's options on its machine: it tries DNS, proxy, TLS and upstream one after the other. If it finds nothing, look at status.statsig.com.",
    doc: "operations.md, Upstream",
  },
  feeds_failing: {
    step: "Find the failing feeds in the table below: the last error of each says why. If they are all of one SDK key, check that key in Statsig's console.",
    doc: "operations.md, Upstream",
  },
  endpoint_failing: {
    step: "Nothing is urgent while another endpoint works. Check that this one runs and that this machine reaches it; the relay returns to it by itself within about a minute. If it is gone for good, take it out of STATSIG_ENDPOINT.",
    doc: "operations.md, Upstream",
  },
  keys_unauthorized: {
    step: "Check in Statsig's console whether the SDK key was revoked. If it was, move the servers that use it to another key; if it was not, ask Statsig.",
    doc: "monitoring.md, StatsigRelaySdkKeyRevoked",
  },
  bootstrap_unusable: {
    step: "Look at the detail: it names the file, or the folder of --bootstrap-path, and the reason. Replace the file whole, by a rename; it is read again within a second. The other files are served.",
    doc: "serving-from-files.md, Changes",
  },
  key_pinned: {
    step: "If the reason for the pin is gone, release the key: choose Manage at one of its feeds on this page, or POST /v1/unpin. Clients then get the newest version.",
    doc: "rolling-back.md, The requests",
  },
  pinned_version_missing: {
    step: "This relay never had the pinned version, and serves the newest one that it has instead. Roll back on a relay that has the version, or pin another one.",
    doc: "rolling-back.md, Feeds without the pinned version",
  },
  polls_delayed: {
    step: "Raise --max-in-flight (-u), or --polling-interval-in-s if upstream is slow.",
    doc: "operations.md, Slow upstream",
  },
  feeds_too_large_for_grpc: {
    step: "Let the clients of the named feed poll over HTTP. SDKs accept messages of at most 4 MiB, so a higher --grpc-max-message-size-in-mb helps only clients with a higher limit.",
    doc: "active-mode.md, Large configs",
  },
  streams_near_max: {
    step: "Add a relay, or raise --grpc-max-concurrent-streams (-g). Until then, load balancers send new streams to other relays.",
    doc: "monitoring.md, StatsigRelayStreamsNearMax",
  },
  redis_down: {
    step: "Check that Redis runs and accepts connections from this machine: `statsig-forward-proxy doctor` with the relay's options says which step fails. Clients are served from memory; the relay tries to reconnect about once a second.",
    doc: "operations.md, Backup and fleet",
  },
  redis_refuses_writes: {
    step: "Look at the reason: a full Redis needs memory or an eviction policy, and a replica needs the address of its primary. Clients are served from memory, and the relay writes everything once it can.",
    doc: "operations.md, Backup and fleet",
  },
  redis_behind: {
    step: "Look at the last error of the Redis card. Servers in passive mode and relays that start now get an older config until the write succeeds.",
    doc: "operations.md, Backup and fleet",
  },
  redis_token_failed: {
    step: "Check the REDIS_OAUTH_ variables and the client secret in Azure. Open connections work until their token expires.",
    doc: "redis.md, Access tokens of Microsoft Entra ID",
  },
  redis_permission_missing: {
    step: "Give the Redis user the permission: ACL SETUSER USER PERMISSION. `statsig-forward-proxy doctor` with the relay's options prints the whole command. The relay notices it within 30 s.",
    doc: "redis.md, Required permissions",
  },
  backup_unusable: {
    step: "Nothing, if it does not come back: the relay overwrites the entry with the next version. If it does, find out what else writes to the backup.",
    doc: "monitoring.md, StatsigRelayBackupUnusable",
  },
  local_unusable: {
    step: "Make the folder of --local-cache-path writable for the relay's user, and check that its disk is neither full nor read-only. The relay tries again by itself.",
    doc: "operations.md, Backup and fleet",
  },
  local_failing: {
    step: "Check the disk of --local-cache-path: free space, write permission, and errors in the system's log. The relay tries again by itself.",
    doc: "operations.md, Backup and fleet",
  },
  id_lists_failing: {
    step: "Look at the error: it says which download or file failed. SDKs keep the lists that they have; the relay tries again with the next poll.",
    doc: "id-lists.md, Failures",
  },
  id_lists_folder_unusable: {
    step: "Make the folder of the ID lists writable for the relay's user, and check that its disk is not full. Until then, SDKs need access to the addresses in the manifest.",
    doc: "id-lists.md, Failures",
  },
  events_delayed: {
    step: "Check that this machine reaches LOG_EVENT_STATSIG_ENDPOINT. Nothing is lost while the queue has room: see how full it is on the card of log events.",
    doc: "operations.md, ID lists and log events",
  },
  spool_unusable: {
    step: "Make the folder of --event-spool-path writable for the relay's user, and check that its disk is not full. The relay tries again by itself.",
    doc: "log-events.md, Spool on disk",
  },
  sink_failing: {
    step: "Do what the detail says. If it names an error alone, check the address of the destination, and that it runs. Clients notice nothing, and /metrics has every metric.",
    doc: "monitoring.md, StatsigRelaySinkFailing",
  },
  certificate_expires: {
    step: "Replace the files of --x509-server-cert-path and --x509-server-key-path: they are loaded within seconds, and connections stay open.",
    doc: "tls.md, Rotating certificates",
  },
  certificate_refused: {
    step: "Correct the new certificate and key: both must be whole, readable for the relay's user, and belong together. They are loaded within seconds.",
    doc: "tls.md, Rotating certificates",
  },
  allowed_keys_refused: {
    step: "Correct the file of --allowed-sdk-keys: one SDK key per line. It is read again when it changes. Keys that were removed from it are still served until then.",
    doc: "monitoring.md, StatsigRelayAllowedKeysRefused",
  },
  serving_threads_missing: {
    step: "Wait some seconds: a lost thread is replaced. If it happens again, look for `serving thread lost` in the log, and report it with the reason.",
    doc: "monitoring.md, StatsigRelayServingThreadLost",
  },
  unexpected_error: {
    step: "Report it as a bug, with the version and the log around it. The relay continues; a restart is safe if something does not work.",
    doc: "troubleshooting.md, Reporting a bug",
  },
};

export function withNextStep(found: FoundProblem): Problem {
  const { step, doc } = NEXT_STEPS[found.kind];
  return { ...found, next_step: step, doc };
}

/** All next steps, with the documents and sections that they refer to. */
export const nextSteps: readonly NextStep[] = Object.values(NEXT_STEPS);
