import { expect } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { testsWith } from "../support/common/needs.ts";
import { HealthServer } from "../support/deploy/health-server.ts";
import { testRows } from "../support/drop-in/row.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { ClientCertificates, startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { PROBE_ROWS, type ProbeRow } from "./probe.rows.ts";

const { afterAll, beforeAll, describe } = testsWith("openssl");

const stack = new AsyncDisposableStack();
const ports = new Map<ProbeRow["server"], number>();
let pki: ClientCertificates;

const portOf = (url: string) => Number(new URL(url).port);

beforeAll(async () => {
  pki = stack.use(new ClientCertificates());
  const server = pki.authority.issue();
  const plain = stack.use(await startRelayProcess({ mode: "grpc" }));
  ports.set("relay", plain.grpcPort);
  const tls = stack.use(await startRelayWithTls({ mode: "grpc", server }));
  ports.set("relay-tls", portOf(tls.urlOf("grpcs")));
  const clientCaPath = pki.authority.caPath;
  const env = { SFP_ENFORCE_MTLS: "true" };
  const mutual = stack.use(await startRelayWithTls({ mode: "grpc", server, clientCaPath, env }));
  ports.set("relay-mtls", portOf(mutual.urlOf("grpcs")));
  ports.set("unhealthy", stack.use(await HealthServer.start("NOT_SERVING")).port);
  ports.set("unimplemented", stack.use(await HealthServer.start("unimplemented")).port);
  ports.set("silent", stack.use(await HealthServer.start("silent")).port);
  ports.set("none", await freePort());
}, 30_000);

afterAll(() => stack.disposeAsync());

/** Returns flags for limits of time that the arguments leave at their defaults, which are too short for a busy machine. */
function patience(args: readonly string[]): readonly string[] {
  const limits = ["-connect-timeout", "-rpc-timeout"];
  return limits.filter((limit) => !args.some((arg) => arg.startsWith(limit))).map((limit) => `${limit}=15s`);
}

describe("grpc-health-probe", () => {
  testRows(PROBE_ROWS, async ({ server, args, exits, prints }) => {
    const files: Readonly<Record<string, string>> = {
      "<port>": String(ports.get(server)),
      "<ca>": pki.authority.caPath,
      "<cert>": pki.good.certPath,
      "<key>": pki.good.keyPath,
      "<no-file>": "/nonexistent/ca.pem",
    };
    const given = args.map((arg) => arg.replace(/<[a-z-]+>/, (name) => files[name] ?? name));
    const patient = server === "none" ? given : [...given, ...patience(given)];
    const { exitCode, stderr } = await runRelay(patient, {}, "grpc-health-probe");
    expect([exitCode, stderr.trimEnd()]).toEqual([exits, expect.stringMatching(prints)]);
  });
});
