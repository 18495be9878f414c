import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import { describeNetworkError } from "../platform/network-errors.ts";
import type { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { type Check, type CheckResult, failed, MAX_CHECKED_KEYS, ok, skipped } from "./check.ts";

interface LogEventsToCheck {
  readonly endpoint: UpstreamEndpoint;
  /** Without user and password. */
  readonly shownUrl: string;
  readonly sdkKeys: readonly SdkKey[];
}

const PATH = "/v1/log_event";

/** A batch as an SDK sends it, without events: nothing is stored for it. */
const EMPTY_BATCH = JSON.stringify({
  events: [],
  statsigMetadata: { sdkType: "statsig-forward-proxy", sdkVersion: "doctor" },
});

/** Checks whether upstream accepts log events of each preloaded key, without creating one. */
export function logEventsCheck({ endpoint, shownUrl, sdkKeys }: LogEventsToCheck): Check {
  return {
    name: "log events",
    run: async (signal) => {
      if (sdkKeys.length === 0) return [skipped("--preload-sdk-keys is not set")];
      const checked = sdkKeys.slice(0, MAX_CHECKED_KEYS);
      const results = await Promise.all(
        checked.map((sdkKey) =>
          sendEmptyBatch({ endpoint, shownUrl, sdkKey, setting: "LOG_EVENT_STATSIG_ENDPOINT" }, signal),
        ),
      );
      const rest = sdkKeys.length - MAX_CHECKED_KEYS;
      return rest > 0 ? [...results, skipped(`${rest} more`)] : results;
    },
  };
}

interface EmptyBatch extends Omit<LogEventsToCheck, "sdkKeys"> {
  readonly sdkKey: SdkKey;
  /** The option or variable that names the key or the endpoint. */
  readonly setting: string;
}

/** Sends a request for log events as the relay does, with a batch that has none. */
export async function sendEmptyBatch(
  { endpoint, shownUrl, sdkKey, setting }: EmptyBatch,
  signal: AbortSignal,
): Promise<CheckResult> {
  const shown = maskSdkKey(sdkKey);
  const headers = {
    "statsig-api-key": sdkKey,
    "statsig-event-count": "0",
    "statsig-client-time": String(Date.now()),
    "content-type": "application/json",
    "accept-encoding": "identity",
  };
  try {
    const response = await endpoint.send({ path: PATH, headers, body: EMPTY_BATCH }, signal);
    await response.body?.cancel();
    return toResult(response.status, { shown, shownUrl, setting });
  } catch (error) {
    signal.throwIfAborted();
    const detail = `${shown}: ${shownUrl} is unreachable for log events: ${describeNetworkError(error)}`;
    return failed(detail, `see the check named upstream, or correct ${setting}`);
  }
}

interface ShownBatch {
  readonly shown: string;
  readonly shownUrl: string;
  readonly setting: string;
}

function toResult(status: number, { shown, shownUrl, setting }: ShownBatch): CheckResult {
  if (status >= 200 && status < 300)
    return ok(`${shown}: ${shownUrl} responds ${status} to an empty batch of log events, which creates none`);
  const detail = `${shown}: ${shownUrl} responds ${status} to an empty batch of log events`;
  if (status === 401 || status === 403) {
    return failed(`${detail}: it rejects the key`, `use a server SDK key of the project (${setting})`);
  }
  if (status === 404 || status === 405 || (status >= 300 && status < 400)) {
    return failed(`${detail}: it does not take log events`, `correct ${setting}`);
  }
  if (status >= 500 || status === 429) {
    return failed(detail, "retry later; the relay keeps events in its queue and sends them again");
  }
  return skipped(`${detail}: the key is not rejected, but whether events are accepted is unknown`);
}
