import type { Clock } from "../platform/clock.ts";
import type { Feed } from "../specs/feed.ts";
import type { Logger } from "./logging/logger.ts";
import type { MetricRegistry } from "./metrics/registry.ts";
import type { KeyTags } from "./metrics/tags.ts";
import type { TelemetryOutput } from "./output.ts";
import { LatestError } from "./status/incident.ts";
import { Transfer } from "./status/transfer.ts";
import { AccessTelemetry } from "./topics/access.ts";
import { BackupTelemetry } from "./topics/backup.ts";
import { BootstrapTelemetry } from "./topics/bootstrap.ts";
import { CloudProfilerTelemetry } from "./topics/cloud-profiler.ts";
import { HttpTelemetry } from "./topics/http.ts";
import { IdListTelemetry } from "./topics/id-lists.ts";
import { LimitTelemetry } from "./topics/limits.ts";
import { LogEventsTelemetry } from "./topics/log-events.ts";
import { OperatorTelemetry } from "./topics/operators.ts";
import { ProfilingGateTelemetry } from "./topics/profiling-gate.ts";
import { RedisTelemetry } from "./topics/redis.ts";
import { RpcTelemetry } from "./topics/rpc.ts";
import { ServingTelemetry } from "./topics/serving.ts";
import { SinkTelemetry } from "./topics/sinks.ts";
import { SpecTelemetry } from "./topics/specs.ts";
import { SpoolTelemetry } from "./topics/spool.ts";
import { SqliteTelemetry } from "./topics/sqlite.ts";
import { SupervisionTelemetry } from "./topics/supervision.ts";
import { TlsTelemetry } from "./topics/tls.ts";
import { UpstreamTelemetry } from "./topics/upstream.ts";

interface TelemetryOptions {
  readonly logger: Logger;
  readonly registry: MetricRegistry;
  readonly keys: KeyTags;
  readonly clock: Clock;
  /** Feeds whose polls the status page shows even while they are not cached. */
  readonly preload: readonly Feed[];
}

/** One object per subject. Each receives the events of one component, and holds what the status page shows of it. */
export interface Telemetry {
  readonly specs: SpecTelemetry;
  readonly upstream: UpstreamTelemetry;
  readonly backup: BackupTelemetry;
  readonly bootstrap: BootstrapTelemetry;
  readonly redis: RedisTelemetry;
  readonly sqlite: SqliteTelemetry;
  readonly idLists: IdListTelemetry;
  readonly logEvents: LogEventsTelemetry;
  readonly spool: SpoolTelemetry;
  readonly access: AccessTelemetry;
  readonly limits: LimitTelemetry;
  readonly operators: OperatorTelemetry;
  readonly profilingGate: ProfilingGateTelemetry;
  readonly tls: TlsTelemetry;
  readonly http: HttpTelemetry;
  readonly rpc: RpcTelemetry;
  readonly serving: ServingTelemetry;
  readonly sinks: SinkTelemetry;
  readonly cloudProfiler: CloudProfilerTelemetry;
  readonly supervision: SupervisionTelemetry;
}

export function createTelemetry({ preload, ...shared }: TelemetryOptions): Telemetry {
  const supervision = new SupervisionTelemetry(shared);
  const output: TelemetryOutput = { ...shared, contain: supervision.contain };
  const transfer = new Transfer(shared.registry, shared.clock);
  const latestError = new LatestError(shared.clock);
  const redis = new RedisTelemetry(output);
  const sqlite = new SqliteTelemetry(output, latestError);
  return {
    specs: new SpecTelemetry(output, { preload, transfer }),
    upstream: new UpstreamTelemetry(output),
    backup: new BackupTelemetry(output, { redis, sqlite, latestError }),
    bootstrap: new BootstrapTelemetry(output),
    redis,
    sqlite,
    idLists: new IdListTelemetry(output),
    logEvents: new LogEventsTelemetry(output),
    spool: new SpoolTelemetry(output),
    access: new AccessTelemetry(output),
    limits: new LimitTelemetry(output),
    operators: new OperatorTelemetry(output),
    profilingGate: new ProfilingGateTelemetry(output),
    tls: new TlsTelemetry(output),
    http: new HttpTelemetry(output, transfer),
    rpc: new RpcTelemetry(output, transfer),
    serving: new ServingTelemetry(output),
    sinks: new SinkTelemetry(output),
    cloudProfiler: new CloudProfilerTelemetry(output),
    supervision,
  };
}
