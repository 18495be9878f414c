import { join } from "node:path";
import type { Bench } from "../bench.ts";
import { Launched } from "../launched.ts";
import { firstAnswer, freePort } from "../loopback.ts";
import type { Project } from "../project.ts";
import type { RelayProgram } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { StaticUpstream, specPath } from "../static-upstream.ts";

export const SDK_KEY = "secret-bench-fanout";

/** By default the relay accepts 500 streams. */
const MAX_STREAMS = 20_000;

/** A server of StreamConfigSpec. */
export interface FanoutServer extends AsyncDisposable {
  readonly name: string;
  readonly grpcUrl: string;
  readonly pid: number;
  /** Resolves when the server is being sent the update, with that time in ms since the Unix epoch. */
  readonly publish: (project: Project) => Promise<number>;
}

export type StartFanoutServer = (bench: Bench, first: Project) => Promise<FanoutServer>;

/** The relay, with a fake upstream that it polls every second. */
export const relayServer =
  (program: RelayProgram): StartFanoutServer =>
  async (bench, first) => {
    await using starting = new AsyncDisposableStack();
    const upstream = starting.use(await StaticUpstream.start());
    upstream.publish(SDK_KEY, first);
    const args = ["--grpc-max-concurrent-streams", String(MAX_STREAMS)];
    const options = { program, upstream, cores: bench.cores?.server, pollIntervalS: 1, args };
    const { grpcUrl, pid } = starting.use(await RelayServer.start(bench, options, specPath(SDK_KEY)));
    const running = starting.move();
    return {
      ...{ name: program.name, grpcUrl, pid },
      publish: (project) => {
        upstream.publish(SDK_KEY, project);
        return upstream.sent(project.lcut);
      },
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    };
  };

/** connect-node as it comes, on Bun. It is sent updates over HTTP. */
export const connectNodeServer: StartFanoutServer = async (bench, first) => {
  const [grpcPort, updatePort] = [await freePort(), await freePort()];
  const script = join(import.meta.dir, "connect-node-server.ts");
  const launched = new Launched(bench, {
    name: "connect-node",
    command: [process.execPath, script, String(grpcPort), String(updatePort)],
    cores: bench.cores?.server,
  });
  const updateUrl = `http://127.0.0.1:${updatePort}`;
  const publish = async ({ lcut, json }: Project) => {
    const sentAt = performance.timeOrigin + performance.now();
    const sent = fetch(`${updateUrl}/${lcut}`, { method: "POST", body: json, signal: bench.signal });
    sent.catch(() => launched.checkRunning());
    return sentAt;
  };
  try {
    await firstAnswer(bench, launched, updateUrl);
    await publish(first);
  } catch (error) {
    await launched[Symbol.asyncDispose]();
    throw error;
  }
  return {
    ...{ name: "connect-node", grpcUrl: `http://127.0.0.1:${grpcPort}`, pid: launched.pid, publish },
    [Symbol.asyncDispose]: () => launched[Symbol.asyncDispose](),
  };
};
