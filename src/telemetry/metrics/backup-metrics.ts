import type { LocalEvent, LocalWork } from "../../local/events.ts";
import type { RedisEvent } from "../../redis/events.ts";
import type { BackupUseEvent } from "../relay-event.ts";
import type { KeyTags } from "./key-tags.ts";
import type { MetricRegistry } from "./metric-registry.ts";
import { measureRedis } from "./redis-metrics.ts";

/** What becomes of the backup, whichever it is, as measurements. */
export class BackupMetrics {
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;
  /** By what it is kept in; unknown until it was first told. */
  readonly #up = new Map<"redis" | "local", boolean>();
  readonly #missingPermissions = new Set<string>();
  /** What the local backup can't do just now. */
  readonly #failing = new Set<LocalWork | "opening">();

  constructor(registry: MetricRegistry, keys: KeyTags) {
    this.#registry = registry;
    this.#keys = keys;
    registry.gauge("BackupUp", () =>
      [...this.#up].map(([source, isUp]) => [{ source }, Number(isUp)] as const),
    );
    registry.gauge("RedisPermissionsMissing", () =>
      this.#up.has("redis") ? [[{}, this.#missingPermissions.size] as const] : [],
    );
  }

  /** There is a backup: it counts as working until it fails. */
  expect(source: "redis" | "local"): void {
    this.#up.set(source, this.#up.get(source) ?? true);
  }

  write(event: BackupUseEvent | RedisEvent | LocalEvent): void {
    switch (event.kind) {
      case "backup_unusable":
        this.#registry.count("BackupUnusable", { source: "entry" });
        return;
      case "backup_removed_elsewhere":
        this.#registry.count("SdkKeyUnauthorized", { state: "removed_elsewhere" });
        return;
      case "backup_failed":
        this.#registry.count("BackupFailed", { source: event.source, action: event.action });
        return;
      case "redis_down":
      case "redis_refuses_writes":
        this.#up.set("redis", false);
        return;
      case "redis_up":
      case "redis_takes_writes":
        this.#up.set("redis", true);
        return;
      case "redis_permission_missing":
        this.#missingPermissions.add(event.permission);
        return;
      case "redis_permission_given":
        this.#missingPermissions.delete(event.permission);
        return;
      case "local_unusable":
        this.#fails("opening");
        return;
      case "local_usable":
        this.#works("opening");
        return;
      case "local_failing":
        this.#fails(event.doing);
        return;
      case "local_works_again":
        this.#works(event.doing);
        return;
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
        this.#registry.count("BackupUnusable", { source: "local" });
        return;
      case "local_evicted":
        return;
      default:
        measureRedis(event, this.#registry, this.#keys);
    }
  }

  #fails(doing: LocalWork | "opening"): void {
    this.#failing.add(doing);
    this.#up.set("local", false);
  }

  #works(doing: LocalWork | "opening"): void {
    this.#failing.delete(doing);
    this.#up.set("local", this.#failing.size === 0);
  }
}
