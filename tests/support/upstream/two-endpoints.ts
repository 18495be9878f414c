import { expect } from "bun:test";
import type { EndpointStatus } from "../../../src/telemetry/status/schema.ts";
import { type RawResponse, rawGet } from "../clients/raw-get.ts";
import { eventually } from "../common/wait.ts";
import { type ManagedRelay, startManagedRelay } from "../relay/managed-relay.ts";
import type { RelayOptions } from "../relay/relay-process.ts";
import { publishKey } from "./published-key.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

/** A relay whose STATSIG_ENDPOINT lists two upstreams. */
export interface TwoEndpoints extends AsyncDisposable {
  readonly preferred: Upstream;
  readonly other: Upstream;
  readonly managed: ManagedRelay;
  /** Publishes a version of a key at both upstreams. */
  publish(sdkKey: string, number?: number): void;
  ask(sdkKey: string): Promise<RawResponse>;
  /** Waits until the relay serves this lcut. */
  serves(sdkKey: string, lcut: number): Promise<void>;
  /** Waits for the statuses of both endpoints to pass the checks. */
  endpoints(check: (preferred: EndpointStatus, other: EndpointStatus) => void): Promise<void>;
  /** Returns the log lines that contain a text. */
  lines(text: string): readonly string[];
  /** Waits for the log line that contains a text. Rejects if there are several. */
  line(text: string): Promise<string>;
}

export async function startTwoEndpoints(options: RelayOptions = {}): Promise<TwoEndpoints> {
  const stack = new AsyncDisposableStack();
  const preferred = stack.use(await startUpstream());
  const other = stack.use(await startUpstream());
  const env = { STATSIG_ENDPOINT: `${preferred.url},${other.url}`, ...options.env };
  const managed = stack.use(await startManagedRelay({ ...options, env }));
  const { relay } = managed;
  const ask = (sdkKey: string) => rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
  const lines = (text: string) =>
    relay
      .output()
      .split("\n")
      .filter((line) => line.includes(text));
  return {
    ...{ preferred, other, managed, ask, lines },
    publish(sdkKey, number = 0) {
      for (const upstream of [preferred, other]) publishKey(upstream, sdkKey, number);
    },
    async serves(sdkKey, lcut) {
      const check = async () => expect((await ask(sdkKey)).headers["x-since-time"]).toBe(String(lcut));
      await eventually(check, { withinMs: 20_000 });
    },
    async endpoints(check) {
      const look = async () => {
        const [first, second] = (await managed.status()).upstream.endpoints;
        check(first as EndpointStatus, second as EndpointStatus);
      };
      await eventually(look, { withinMs: 20_000 });
    },
    line: (text) =>
      eventually(
        () => {
          expect(lines(text)).toHaveLength(1);
          return lines(text)[0] ?? "";
        },
        { withinMs: 20_000 },
      ),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
