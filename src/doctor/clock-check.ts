import type { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { type Check, failed, ok, skipped, warning } from "./check.ts";

/** A Date header tells whole seconds. */
const WARN_S = 5;
/** Events of so far away are sorted into wrong days, and certificates count as not yet valid. */
const FAIL_S = 60;

/** Whether this machine's clock agrees with upstream's. */
export function clockCheck(endpoint: UpstreamEndpoint): Check {
  return {
    name: "clock",
    run: async (signal) => {
      const date = await dateOf(endpoint, signal);
      if (date === undefined) return [skipped("upstream did not say what time it is")];
      const offS = Math.round((Date.now() - date) / 1_000);
      const detail = `${Math.abs(offS)} s ${offS < 0 ? "behind" : "ahead of"} upstream's`;
      const mend = "set the clock by NTP (chrony, systemd-timesyncd; the host's, where this is a container)";
      if (Math.abs(offS) > FAIL_S) return [failed(detail, mend)];
      return [Math.abs(offS) > WARN_S ? warning(detail, mend) : ok(`within ${WARN_S} s of upstream's`)];
    },
  };
}

async function dateOf(endpoint: UpstreamEndpoint, signal: AbortSignal): Promise<number | undefined> {
  try {
    const response = await endpoint.get({ path: "/v1/health", headers: {} }, signal);
    await response.body?.cancel();
    const date = Date.parse(response.headers.get("date") ?? "");
    return Number.isNaN(date) ? undefined : date;
  } catch {
    return undefined;
  }
}
