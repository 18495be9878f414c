import type { LimitEvent } from "../../limits/events.ts";
import type { AccessEvent } from "../../specs/access-events.ts";
import type { TlsEvent } from "../../tls/events.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** What happens to limits, keys and certificates, as measurements. */
export class GuardMetrics {
  readonly #registry: MetricRegistry;
  #expiresAt: number | undefined;

  constructor(registry: MetricRegistry) {
    this.#registry = registry;
    registry.gauge("CertificateExpiryTimestampS", () =>
      this.#expiresAt === undefined ? [] : [[{}, this.#expiresAt / 1_000]],
    );
  }

  write(event: LimitEvent | AccessEvent | TlsEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "limit_reached":
        registry.count("LimitReached", { limit: event.limit });
        return;
      case "client_vanished":
        registry.count("ClientVanished", {});
        return;
      case "key_refused":
        registry.count("KeyRefused", { reason: event.reason });
        return;
      case "allowed_keys_reloaded":
        registry.count("AllowedKeysReloaded", { state: "taken_over" });
        return;
      case "allowed_keys_refused":
        registry.count("AllowedKeysReloaded", { state: "refused" });
        return;
      case "certificate_loaded":
        this.#expiresAt = event.expiresAt;
        registry.count("CertificateLoaded", {});
        return;
      case "certificate_refused":
        registry.count("CertificateRefused", {});
        return;
      case "tls_client_refused":
        registry.count("TlsClientRefused", {});
        return;
      case "connections_lowered":
      case "certificate_expires_soon":
    }
  }
}
