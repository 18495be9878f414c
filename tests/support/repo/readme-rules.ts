import { expect } from "bun:test";
import { GrpcClient } from "../clients/grpc-client.ts";
import type { FreshClone, ShellCommand } from "./fresh-clone.ts";

const MINUTE_MS = 60_000;

/** A config spec, as JSON or within JSON. */
const CONFIG_SPEC = /dynamic_configs\\?"/;

/** A walk through a page: a clone, the server that runs in it, and what the page leaves open. */
export interface Walk {
  readonly clone: FreshClone;
  /** The variables of every command. */
  readonly env: Readonly<Record<string, string>>;
  /** What a page prints -> what to type instead: ports that are free here, the reader's SDK key. */
  readonly replacements: Readonly<Record<string, string>>;
  /** What runs until Ctrl-C. */
  server?: ShellCommand;
}

type Rule = (walk: Walk, command: string) => Promise<void>;

/** A server: stops the one before, since it has the same ports, and waits until the new one serves. */
const serves =
  (ready: RegExp): Rule =>
  async (walk, command) => {
    await stopServer(walk);
    walk.server = walk.clone.start(command, walk.env);
    await walk.server.prints(ready, MINUTE_MS);
  };

const ends =
  (pattern: RegExp, ms: number): Rule =>
  async (walk, command) => {
    await using running = walk.clone.start(command, walk.env);
    expect([await running.ends(ms), running.output]).toEqual([0, expect.stringMatching(pattern)]);
  };

/** Prints until Ctrl-C. */
const follows =
  (pattern: RegExp): Rule =>
  async (walk, command) => {
    await using running = walk.clone.start(command, walk.env);
    await running.prints(pattern, MINUTE_MS);
  };

/** grpcurl if it is installed. Otherwise grpc-js makes the same call. */
const callsGrpc: Rule = async (walk, command) => {
  if (Bun.which("grpcurl") !== null) return await follows(CONFIG_SPEC)(walk, command);
  const [, request = "", address = "", method] =
    /-plaintext -d '(.*)' (\S+) statsig_forward_proxy\.StatsigForwardProxy\/(\S+)$/.exec(command) ?? [];
  expect(method).toBe("StreamConfigSpec");
  using client = new GrpcClient(`http://${address}`);
  using stream = client.streamConfigSpec(JSON.parse(request));
  expect((await stream.next()).spec).toMatch(CONFIG_SPEC);
};

/** Running it here would repeat what other tests do. */
const isCoveredElsewhere: Rule = async () => undefined;

/** Command -> how a reader uses it, and what has to come of it. The first one that matches counts. */
const RULES: readonly (readonly [RegExp, Rule])[] = [
  [/^npm start$/, serves(/The relay serves a sample project/)],
  [/^npm run dev$/, serves(/The relay serves a sample project/)],
  // This test is part of it, and what it does without it is in the command for one file. `npm run check` is its first half.
  [/^npm test$/, isCoveredElsewhere],
  [/^npm run check$/, isCoveredElsewhere],
  // A machine for tests has no container engine; tests/repo/image-*.test.ts and tests/drop-in/image.test.ts do what they can without one.
  [/^docker (build|run) /, isCoveredElsewhere],
  [/^npm test -- tests\/\S+\.test\.ts$/, ends(/^ 0 fail$/m, 3 * MINUTE_MS)],
  [/^npm run build$/, ends(/^built dist\/statsig-forward-proxy$/m, 2 * MINUTE_MS)],
  [/^curl -N /, follows(CONFIG_SPEC)],
  [/^curl /, ends(CONFIG_SPEC, MINUTE_MS)],
  [/^grpcurl /, callsGrpc],
  [/^node examples\/\S+\.mjs$/, follows(/^demo_flip (true|false)$/m)],
  [/^dist\/statsig-forward-proxy doctor /, ends(/./, MINUTE_MS)],
  [/^dist\/statsig-forward-proxy grpc-and-http local$/, serves(/ serving mode=/)],
];

/** Runs a command of a page. Throws if no rule says how. */
export async function followCommand(walk: Walk, command: string): Promise<void> {
  const rule = RULES.find(([pattern]) => pattern.test(command))?.[1];
  if (rule === undefined) throw new Error(`no rule of tests/support/repo/readme-rules.ts covers: ${command}`);
  let typed = command;
  for (const [printed, actual] of Object.entries(walk.replacements))
    typed = typed.replaceAll(printed, actual);
  expect(typed).not.toMatch(/[<>]/);
  await rule(walk, typed);
}

/** Presses Ctrl-C if a server runs, which ends without an error. */
export async function stopServer(walk: Walk): Promise<void> {
  const { server } = walk;
  delete walk.server;
  if (server === undefined) return;
  await using stopped = server;
  // npm ends by the signal that it forwarded.
  expect([0, 130, "SIGINT"]).toContain(await stopped.interrupt());
}
