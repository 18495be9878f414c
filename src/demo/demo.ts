import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeChanges } from "./changes.ts";
import type { SampleProject } from "./model.ts";
import { startSampleUpstream } from "./upstream.ts";

const SDK_KEY = "secret-demo";
const CHANGE_EVERY_MS = 5_000;

interface Listener {
  readonly protocol: string;
  readonly url: string;
}

/** What the relay of a demo uses. */
export interface DemoParts {
  /** The URL of the sample upstream. */
  readonly upstreamUrl: string;
  /** The only SDK key of the sample project. */
  readonly sdkKey: string;
  /** An empty folder for the local backup. Undefined if none can be created, as on a read-only file system. */
  readonly folder: string | undefined;
}

/** Is called with the ports of the relay once it serves. */
export type Announce = (listeners: readonly Listener[]) => void;

/** Runs a relay until it is stopped, and resolves with its exit code. */
type Serve = (parts: DemoParts, announce: Announce) => Promise<number>;

/**
 * Runs a relay with a sample upstream, prints commands to try, and then each change of the sample project. Resolves with the exit
 * code. The folder of the backup is removed at the end.
 */
export async function runDemo(serve: Serve): Promise<number> {
  let isAnnounced = false;
  using folder = createFolder();
  await using upstream = await startSampleUpstream({
    port: 0,
    hostname: "127.0.0.1",
    changeEveryMs: CHANGE_EVERY_MS,
    sdkKey: SDK_KEY,
    onChange: (before, after) => {
      if (isAnnounced) process.stdout.write(formatChanges(before, after));
    },
  });
  return await serve({ upstreamUrl: upstream.url, sdkKey: SDK_KEY, folder: folder.path }, (listeners) => {
    process.stdout.write(formatWelcome(listeners));
    isAnnounced = true;
  });
}

interface DemoFolder extends Disposable {
  readonly path: string | undefined;
}

function createFolder(): DemoFolder {
  let path: string;
  try {
    path = mkdtempSync(join(tmpdir(), "statsig-forward-proxy-demo-"));
  } catch {
    return { path: undefined, [Symbol.dispose]: () => {} };
  }
  const remove = () => rmSync(path, { recursive: true, force: true });
  // A second Ctrl-C exits at once.
  process.once("exit", remove);
  return { path, [Symbol.dispose]: remove };
}

function formatChanges(before: SampleProject, after: SampleProject): string {
  const time = new Date(after.timeMs).toTimeString().slice(0, "hh:mm:ss".length);
  return describeChanges(before, after)
    .map((line) => `${time}  ${line}\n`)
    .join("");
}

function formatWelcome(listeners: readonly Listener[]): string {
  const urlOf = (wanted: string) => listeners.find(({ protocol }) => protocol === wanted)?.url;
  const [http = urlOf("https") ?? "", management] = [urlOf("http"), urlOf("management")];
  const grpc = new URL(urlOf("grpc") ?? urlOf("grpcs") ?? "http://localhost").host;
  const request = `{"sdkKey":"${SDK_KEY}"}`;
  const statusPage = management === undefined ? "" : `Status page: ${management}\n\n`;
  const others = listeners.filter(({ protocol }) => protocol !== "management");
  return `${statusPage}The relay serves a sample project for the SDK key ${SDK_KEY}.
${others.map(({ protocol, url }) => `  ${protocol.padEnd(5)}  ${url}`).join("\n")}

Try in another terminal:
  curl --compressed ${http}/v2/download_config_specs/${SDK_KEY}.json
  curl -N ${http}/v2/stream_config_specs/${SDK_KEY}
  curl -H 'content-type: application/json' -d '${request}' ${http}/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec
  grpcurl -plaintext -d '${request}' ${grpc} statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec

The project changes every ${CHANGE_EVERY_MS / 1_000} s, as follows. Ctrl-C ends the demo.
`;
}
