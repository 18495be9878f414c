import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitOf } from "../common/exit-of.ts";
import { freePort } from "../common/free-port.ts";
import { Output } from "../common/output.ts";
import { eventually, within } from "../common/wait.ts";
import { servingAddresses } from "../relay/relay-process.ts";
import { relayCommand } from "../relay/run-relay.ts";
import { PRELUDE, STORIES } from "./story-text.ts";

/** The token of every relay of a story. */
export const STORY_TOKEN = "the-token-of-this-story";

const BLOCK_TIMEOUT_MS = 60_000;

/** The folder of the relay's files in the texts of stories. */
const ETC = "/etc/statsig-forward-proxy";
const BACKUPS = "/var/backups/statsig";

/** What the commands of a story are run with. */
interface StorySetting {
  readonly key: string;
  /** Replaces addresses of the text, such as `localhost:8001`, by those of the test. */
  readonly places: Readonly<Record<string, string>>;
  /** More variables of the shell. */
  readonly env?: Readonly<Record<string, string>>;
  /** Does what systemd does for `systemctl ACTION statsig-forward-proxy`. */
  readonly service?: (action: string) => Promise<void>;
}

interface StartedRelay {
  readonly httpUrl: string;
  readonly output: Output;
}

/** Runs the commands of a story as they are in the document, but for addresses and folders. */
export class Story implements AsyncDisposable {
  /** In place of the folder of the relay's files. */
  readonly etc: string;
  /** Where the commands run. */
  readonly work: string;
  readonly #folder: string;
  readonly #blocks: string[];
  readonly #running = new AsyncDisposableStack();
  #setting: StorySetting | undefined;
  #systemctlUrl = "";

  private constructor(folder: string, blocks: readonly string[]) {
    this.#folder = folder;
    this.etc = join(folder, "etc");
    this.work = join(folder, "work");
    this.#blocks = [...blocks];
  }

  static async open(title: string): Promise<Story> {
    const text = STORIES.find((each) => each.title === title);
    if (text === undefined) throw new Error(`docs/operations.md has no story "${title}"`);
    const folder = await mkdtemp(join(tmpdir(), "sfp-story-"));
    for (const name of ["bin", "etc", "work"]) await mkdir(join(folder, name));
    const story = new Story(folder, text.blocks);
    story.#running.defer(() => rm(folder, { recursive: true, force: true }));
    const [command = "", ...args] = relayCommand();
    const shown = [command, ...args].map((word) => `'${word}'`).join(" ");
    await story.#addProgram("statsig-forward-proxy", `exec ${shown} "$@"`);
    return story;
  }

  /** Says where the relays of the story are. Called again when they have moved. */
  async set(setting: StorySetting): Promise<void> {
    this.#setting = setting;
    if (setting.service === undefined || this.#systemctlUrl !== "") return;
    const server = createServer((request, response) => {
      const action = (request.url ?? "").slice(1);
      const done = this.#setting?.service?.(action) ?? Promise.reject(new Error("there is no service"));
      done.then(
        () => response.end(),
        (error) => response.writeHead(500).end(String(error)),
      );
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    this.#running.defer(() => void server.close());
    this.#systemctlUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await this.#addProgram("systemctl", `exec curl -sS --fail-with-body "${this.#systemctlUrl}/$1"`);
  }

  /** Runs the next block to its end, and returns what it printed. Throws unless its exit code is 0. */
  run(): Promise<string> {
    return this.execute(this.#nextBlock());
  }

  /**
   * Runs the next block, which must be one that may be repeated, until `check` does not throw for what it printed: a busy machine may need
   * more time than the text gives. Throws what `check` did at the time limit.
   */
  async runUntil(check: (shown: string) => void): Promise<void> {
    const block = this.#nextBlock();
    await eventually(async () => check(await this.execute(block)), { withinMs: 20_000, everyMs: 500 });
  }

  /** As {@link run}, for commands that are not in the text. */
  async execute(commands: string): Promise<string> {
    const child = this.#spawn(commands);
    const output = new Output(child.stdout, child.stderr);
    try {
      const exitCode = await within(exitOf(child), BLOCK_TIMEOUT_MS, "the block to end");
      if (exitCode !== 0) throw new Error(`the block ended with exit code ${exitCode}`);
      return output.text;
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${output.text}`);
    } finally {
      killGroup(child);
    }
  }

  /**
   * Starts the next block, which runs a relay until the story ends, on free ports. From then on, the story's commands are about this
   * relay.
   */
  async startRelay(): Promise<StartedRelay> {
    const ports = {
      SFP_BIND_ADDRESS: "127.0.0.1",
      SFP_HTTP_PORT: "0",
      SFP_GRPC_PORT: "0",
      SFP_MANAGEMENT_PORT: String(await freePort()),
      SFP_POLLING_INTERVAL_IN_S: "1",
      SFP_SERVING_THREADS: "1",
    };
    const child = this.#spawn(this.#nextBlock(), ports);
    this.#running.defer(async () => {
      killGroup(child);
      await exitOf(child);
    });
    const output = new Output(child.stdout, child.stderr);
    const ended = exitOf(child).then((exitCode) => {
      throw new Error(`the relay ended with exit code ${exitCode}\n${output.text}`);
    });
    ended.catch(() => undefined);
    const addresses = await within(Promise.race([output.until(servingAddresses), ended]), 30_000, "serving");
    const urlOf = (protocol: string) => addresses.get(protocol) ?? "";
    const host = (protocol: string) => new URL(urlOf(protocol)).host;
    const places = { "localhost:8000": host("http"), "localhost:8001": host("management") };
    const before = this.#setting;
    this.#setting = { key: "", ...before, places: { ...before?.places, ...places } };
    return { httpUrl: urlOf("http"), output };
  }

  #nextBlock(): string {
    const block = this.#blocks.shift();
    if (block === undefined) throw new Error("the story has no further block");
    return block;
  }

  #spawn(commands: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
    const script = ["set -eu -o pipefail", PRELUDE, `key=${this.#setting?.key}`, commands].join("\n");
    return spawn("bash", ["-c", this.#toPlaces(script)], {
      cwd: this.work,
      // A group of its own, so that what it starts ends with it.
      detached: true,
      env: {
        PATH: `${join(this.#folder, "bin")}:${process.env["PATH"]}`,
        HOME: this.#folder,
        SFP_MANAGEMENT_TOKEN: STORY_TOKEN,
        ...this.#setting?.env,
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  #toPlaces(script: string): string {
    const places = { ...this.#setting?.places, [ETC]: this.etc, [BACKUPS]: join(this.#folder, "backups") };
    let text = script;
    for (const [shown, meant] of Object.entries(places)) text = text.replaceAll(shown, meant);
    // The shared variables name a relay, which not every story has.
    const own = text.replaceAll(/^relay=.*$/gm, "").replaceAll(this.#folder, "");
    const left = /localhost:\d+|[\w.-]+\.internal|\/(etc|var)\/statsig\S*/.exec(own);
    if (left !== null) throw new Error(`the test has no place for ${left[0]}`);
    return text;
  }

  async #addProgram(name: string, script: string): Promise<void> {
    const path = join(this.#folder, "bin", name);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
  }

  /** Throws if a block of the story was not run. */
  finished(): void {
    if (this.#blocks.length > 0) throw new Error(`${this.#blocks.length} blocks of the story were not run`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.disposeAsync();
  }
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-Number(child.pid), "SIGKILL");
  } catch {
    // It has ended, and so has all that it started.
  }
}
