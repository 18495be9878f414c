/** What runs in the background of every relay, or of one with certain options: each by a fixed name. */
export type LoopName =
  | "backup_upkeep"
  | "certificate_expiry"
  | "event_forwarding"
  | "event_spool_opening"
  | "file_watch"
  | "id_list_polls"
  | "local_backup_opening"
  | "metric_push"
  | "redis_leader_key"
  | "redis_subscription"
  | "request_rates"
  | "service_manager"
  | "spec_polls";

/** What is done once, and nobody waits for; or what is caught where nothing else would hear of it. */
export type TaskName =
  | "backup_writes"
  | "config_reload"
  | "event_delivery"
  | "event_spool_worker"
  | "event_worker"
  | "fleet_notices"
  | "http_request"
  | "id_list_files"
  | "local_backup_worker"
  | "metric_sink"
  | "payload_worker"
  | "rpc"
  | "telemetry"
  | "uncaught_exception"
  | "unhandled_rejection";

/** An error that nobody expected, for people: no SDK key, no URL's path, no password in it. */
export interface DescribedError {
  /** One line: the name of the error and its message. */
  readonly detail: string;
  /** `file:line:column` of the code that threw, where that is known. */
  readonly at: string | undefined;
}

/** Errors that are bugs, as far as the relay goes on after them. */
export type SupervisionEvent =
  /** A loop threw; it goes on. `instance` tells apart the loops of one name, of which `failing` fail now. */
  | ({
      readonly kind: "loop_failed";
      readonly loop: LoopName;
      readonly instance: number;
      readonly failing: number;
      readonly retryInMs: number;
    } & DescribedError)
  /** It works again, or is no longer needed. */
  | {
      readonly kind: "loop_recovered";
      readonly loop: LoopName;
      readonly instance: number;
      readonly failing: number;
    }
  /** What was being done is not done. */
  | ({ readonly kind: "task_failed"; readonly task: TaskName } & DescribedError);

export type EmitSupervisionEvent = (event: SupervisionEvent) => void;
