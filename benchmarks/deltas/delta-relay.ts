import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, programsOf } from "../bench.ts";
import type { RelayProgram } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, type StaticUpstream, specPath } from "../static-upstream.ts";
import { HISTORY_DEPTH } from "./delta-times.ts";
import { ProtoProject, type ProtoVersion } from "./proto-project.ts";

/** Newer than any version, so that the response is always the 21 bytes of "no update", with the version in a header. */
export const NEWEST = 9_000_000_000_000;

/** Protobuf is sent only to clients that accept it. */
export const PROTO_CODINGS = "statsig-br";

/** Each relay has its own range of versions, so that `StaticUpstream.sentAt` is about one of them. */
const LCUTS_PER_RELAY = 1_000;
const SERVED_TIMEOUT_MS = 15_000;

/** A relay with or without deltas. */
export interface DeltaSetting {
  readonly name: string;
  readonly program: RelayProgram;
  /** `--delta-history`; undefined if the program has no such option. */
  readonly depth: number | undefined;
}

export function settingsOf(bench: Bench): DeltaSetting[] {
  return programsOf(bench).flatMap((program): DeltaSetting[] => {
    const { name } = program;
    if (!program.hasDeltas) return [{ name, program, depth: undefined }];
    return [
      { name: `${name}, deltas`, program, depth: HISTORY_DEPTH },
      { name: `${name}, off`, program, depth: 0 },
    ];
  });
}

/** A relay that polls one large protobuf feed every second. */
export class DeltaRelay implements AsyncDisposable {
  readonly setting: DeltaSetting;
  readonly sdkKey: string;
  readonly server: RelayServer;
  readonly #upstream: StaticUpstream;
  readonly #project: ProtoProject;
  readonly #changed: number;
  #newest: ProtoVersion;

  private constructor(parts: {
    setting: DeltaSetting;
    sdkKey: string;
    server: RelayServer;
    upstream: StaticUpstream;
    project: ProtoProject;
    changed: number;
  }) {
    this.setting = parts.setting;
    this.sdkKey = parts.sdkKey;
    this.server = parts.server;
    this.#upstream = parts.upstream;
    this.#project = parts.project;
    this.#changed = parts.changed;
    this.#newest = this.publish(0);
  }

  /**
   * Resolves when the relay has seen as many versions as a history holds. Each version changes `changed` other entities. `index` is
   * different for each relay of an upstream.
   */
  static async start(
    bench: Bench,
    upstream: StaticUpstream,
    setting: DeltaSetting,
    changed: number,
    index: number,
  ): Promise<DeltaRelay> {
    const sdkKey = `secret-bench-deltas-${index}`;
    const project = new ProtoProject(sdkKey, FIRST_LCUT + index * LCUTS_PER_RELAY);
    const { program, depth } = setting;
    const args = depth === undefined ? [] : ["--delta-history", String(depth)];
    const options = { program, upstream, cores: bench.cores?.server, pollIntervalS: 1, args };
    const server = await RelayServer.start(bench, options);
    const relay = new DeltaRelay({ setting, sdkKey, server, upstream, project, changed });
    try {
      await relay.#served(bench);
      for (let version = 1; version < HISTORY_DEPTH; version++) {
        relay.publish();
        await relay.#served(bench);
      }
      return relay;
    } catch (error) {
      await relay[Symbol.asyncDispose]();
      throw error;
    }
  }

  get newest(): ProtoVersion {
    return this.#newest;
  }

  /** Path of a request that always gets "no update". */
  get probePath(): string {
    return `${specPath(this.sdkKey, NEWEST)}&supports_proto=true`;
  }

  publish(changed = this.#changed): ProtoVersion {
    this.#newest = this.#project.next(changed, "different");
    this.#upstream.publishProto(this.sdkKey, this.#newest);
    return this.#newest;
  }

  /** Resolves when the relay serves the newest version. The first request makes it fetch the feed. */
  async #served({ signal }: Bench): Promise<void> {
    const { lcut } = this.#newest;
    const giveUpAt = performance.now() + SERVED_TIMEOUT_MS;
    while (performance.now() < giveUpAt) {
      const response = await fetch(this.server.httpUrl + this.probePath, {
        headers: { "accept-encoding": PROTO_CODINGS },
        signal,
      });
      await response.arrayBuffer();
      if (response.headers.get("x-since-time") === String(lcut)) return;
      await sleep(20, undefined, { signal });
    }
    throw new Error(`the relay did not serve version ${lcut} within ${SERVED_TIMEOUT_MS / 1_000} s`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}
