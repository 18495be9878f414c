import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exitOf } from "../common/exit-of.ts";
import { freePort } from "../common/free-port.ts";
import { Output } from "../common/output.ts";
import { eventually, within } from "../common/wait.ts";
import type { Authority } from "../relay/pki.ts";
import type { Protocol } from "../relay/tls-relay.ts";

export type LoadBalancerKind = "nginx" | "haproxy";
export type Transport = "plaintext" | "TLS";

/** The ports in docs/operations.md, of the load balancer and of the relay. */
const PORTS: Readonly<Record<Transport, readonly (readonly [shown: number, protocol: Protocol])[]>> = {
  plaintext: [
    [8000, "http"],
    [50051, "grpc"],
  ],
  TLS: [
    [8443, "https"],
    [50052, "grpcs"],
  ],
};
const DOCUMENT = fileURLToPath(new URL("../../../docs/operations.md", import.meta.url));
const STARTS = 5;
const START_LIMIT_MS = 20_000;

/** The name in the relay's certificate, as the documented configurations check it. */
export const RELAY_NAME = "relay.internal";

/** Returns the block of docs/operations.md for this proxy: the first of its language is for plaintext, the second for TLS. */
function documentedConfig(kind: LoadBalancerKind, transport: Transport): string {
  const blocks = [...readFileSync(DOCUMENT, "utf8").matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, language]) => language === kind)
    .map(([, , text = ""]) => text);
  const text = blocks[transport === "plaintext" ? 0 : 1];
  if (text === undefined || blocks.length !== 2)
    throw new Error(`${DOCUMENT} has no ${kind} for ${transport}`);
  return text;
}

export interface LoadBalancerOptions {
  readonly kind: LoadBalancerKind;
  readonly transport: Transport;
  /** Issues the load balancer's certificate; issued the relay's, for {@link RELAY_NAME}. */
  readonly authority: Authority;
  readonly relayPort: (protocol: Protocol) => number;
}

/** A real nginx or HAProxy with the configuration of docs/operations.md, and with the test's addresses and files. */
export class LoadBalancer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #output: Output;
  readonly #folder: string;
  readonly #ports: ReadonlyMap<Protocol, number>;

  private constructor(
    child: ChildProcess,
    output: Output,
    folder: string,
    ports: ReadonlyMap<Protocol, number>,
  ) {
    this.#child = child;
    this.#output = output;
    this.#folder = folder;
    this.#ports = ports;
  }

  static async start(options: LoadBalancerOptions): Promise<LoadBalancer> {
    for (let left = STARTS; ; left--) {
      try {
        return await LoadBalancer.#tryStart(options);
      } catch (error) {
        // Another test run may have taken a port in the meantime.
        if (left <= 1) throw error;
      }
    }
  }

  static async #tryStart(options: LoadBalancerOptions): Promise<LoadBalancer> {
    const { kind, transport } = options;
    const folder = await mkdtemp(join(tmpdir(), `sfp-${kind}-`));
    const ports = new Map<Protocol, number>();
    for (const [, protocol] of PORTS[transport]) ports.set(protocol, await freePort());
    const file = join(folder, `${kind}.cfg`);
    await writeFile(file, await configOf(options, folder, ports));
    const args = kind === "nginx" ? ["-p", folder, "-c", file, "-e", "stderr"] : ["-db", "-f", file];
    const child = spawn(kind, args, { stdio: ["ignore", "pipe", "pipe"] });
    const output = new Output(child.stdout, child.stderr);
    const balancer = new LoadBalancer(child, output, folder, ports);
    const ended = exitOf(child).then((code) => {
      throw new Error(`it ended with exit code ${code}`);
    });
    ended.catch(() => undefined);
    try {
      const patience = { withinMs: START_LIMIT_MS };
      const up = Promise.all([...ports.values()].map((port) => eventually(() => canConnect(port), patience)));
      await Promise.race([up, ended]);
      return balancer;
    } catch (error) {
      await balancer[Symbol.asyncDispose]();
      throw new Error(`${kind} did not start: ${String(error)}\n${output.text}`);
    }
  }

  /** Connects by name, since clients check the certificate. */
  urlOf(protocol: Protocol): string {
    const scheme = protocol === "https" || protocol === "grpcs" ? "https" : "http";
    return `${scheme}://localhost:${this.#ports.get(protocol)}`;
  }

  /** Its log, with errors of upstream connections. */
  get output(): string {
    return this.#output.text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await within(exitOf(this.#child), 5_000, "the balancer to end").catch(() => this.#child.kill("SIGKILL"));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** The documented text with this machine's addresses, and what a complete configuration file needs around it. */
async function configOf(
  { kind, transport, authority, relayPort }: LoadBalancerOptions,
  folder: string,
  ports: ReadonlyMap<Protocol, number>,
): Promise<string> {
  const certificate = authority.issue();
  const both = join(folder, "both.pem");
  const texts = [certificate.certPath, certificate.keyPath].map((path) => readFileSync(path, "utf8"));
  await writeFile(both, texts.join("\n"));
  let text = documentedConfig(kind, transport)
    .replaceAll("/etc/ssl/relay/ca.pem", authority.caPath)
    .replaceAll("/etc/ssl/relay/proxy-and-key.pem", both)
    .replaceAll("/etc/ssl/relay/proxy.pem", certificate.certPath)
    .replaceAll("/etc/ssl/relay/proxy.key", certificate.keyPath);
  for (const [shown, protocol] of PORTS[transport]) {
    text = text
      .replaceAll(new RegExp(`relay-\\d\\.internal:${shown}\\b`, "g"), `127.0.0.1:${relayPort(protocol)}`)
      .replaceAll(`port ${shown}`, `port ${relayPort(protocol)}`)
      .replaceAll(`listen ${shown}`, `listen 127.0.0.1:${ports.get(protocol)}`)
      .replaceAll(`bind :${shown}`, `bind 127.0.0.1:${ports.get(protocol)}`);
  }
  // Health checks would come too late for a test. The interval is also the time limit of a check, unless there is another one, and three
  // checks that are late on a busy machine would take the relay out.
  text = text.replaceAll("inter 5s", "inter 1s").replace("defaults\n", "defaults\n  timeout check 10s\n");
  if (kind === "haproxy") return `global\n  maxconn 2000\n  nbthread 1\n${text}`;
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const temporary = paths.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n");
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `daemon off;\n${user}\npid ${folder}/nginx.pid;\nerror_log stderr warn;\nworker_processes 1;
events { worker_connections 1024; }\nhttp {\naccess_log off;\n${temporary}\n${text}}\n`;
}

function canConnect(port: number): Promise<void> {
  const connected = Promise.withResolvers<void>();
  const socket = connect(port, "127.0.0.1", () => {
    socket.destroy();
    connected.resolve();
  });
  socket.once("error", connected.reject);
  return connected.promise;
}
