import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { request as requestSecurely } from "node:https";
import { connect } from "node:tls";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { withConfigFile } from "../config/file.ts";
import { readListeners, readManagement } from "../config/listeners.ts";
import { MODE } from "../config/option.ts";
import { findSetting } from "../config/options.ts";
import { ConfigError, type Environment, type GivenConfig, Settings } from "../config/settings.ts";
import { readTls } from "../config/tls.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../gen/grpc/health/v1/health_pb.ts";
import { UserError } from "../platform/errors.ts";

interface HealthReport {
  readonly isReady: boolean;
  /** One line. */
  readonly text: string;
}

/** A way to ask the relay that runs with the same settings. */
interface Probe {
  readonly url: string;
  readonly ask: (url: string, signal: AbortSignal) => Promise<Answer>;
}

const MAX_TIMEOUT_S = 300;

/**
 * Asks the relay of this machine that was started with the same options, environment and file. The management port comes
 * first: it has no TLS and takes part in no limit of clients.
 */
export async function checkHealth(given: GivenConfig, env: Environment): Promise<HealthReport> {
  try {
    const settings = new Settings(findSetting(await withConfigFile(given, env), env));
    const probes = probesFor(settings, env);
    return await askInTurn(probes, AbortSignal.timeout(timeoutMs(given)));
  } catch (error) {
    if (error instanceof UserError) return { isReady: false, text: error.message };
    throw error;
  }
}

/** The first at which somebody listens decides: the relay may have been given options that we were not. */
async function askInTurn(probes: readonly Probe[], signal: AbortSignal): Promise<HealthReport> {
  for (const { url, ask } of probes) {
    const answer = await withinTime(ask(url, signal), signal);
    switch (answer.kind) {
      case "ready":
        return { isReady: true, text: `${answer.note ?? "ready"} (${url})` };
      case "not_ready":
        return { isReady: false, text: `not ready: ${answer.reason} (${url})` };
      case "failed":
        return { isReady: false, text: `can't tell: ${answer.reason} (${url})` };
      case "nobody":
        break;
    }
  }
  const urls = probes.map(({ url }) => url).join(", ");
  return { isReady: false, text: `nobody listens at ${urls || "any port: each is 0"}` };
}

function probesFor(settings: Settings, env: Environment): readonly Probe[] {
  const mode = settings.isGiven(MODE) ? settings.word(MODE) : "grpc-and-http";
  const tls = readTls(settings, env);
  const management = readManagement(settings);
  const probe = (url: string, ask: Probe["ask"]): Probe => ({ url, ask });
  const probes = readListeners(settings, mode, tls)
    .filter(({ port }) => port !== 0)
    .map(({ protocol, bindAddress, port }) => {
      const isSecure = protocol === "https" || protocol === "grpcs";
      const isHttp = protocol === "http" || protocol === "https";
      const url = `${isSecure ? "https" : "http"}://${reachable(bindAddress)}:${port}${isHttp ? "/v1/ready" : ""}`;
      return probe(url, isSecure && tls?.requireClientCert ? shakeHands : isHttp ? askHttp : askGrpc);
    });
  if (management === undefined) return probes;
  const { bindAddress, port } = management;
  return [probe(`http://${reachable(bindAddress)}:${port}/readyz`, askHttp), ...probes];
}

/** What listens on every address is reached by the loopback; by IPv4, which is there also where IPv6 is off. */
function reachable(address: string): string {
  if (address === "::" || address === "0.0.0.0") return "127.0.0.1";
  return address.includes(":") ? `[${address}]` : address;
}

function timeoutMs({ values }: GivenConfig): number {
  const text = values.get("timeout-in-s") ?? "2";
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= MAX_TIMEOUT_S) return seconds * 1_000;
  throw new ConfigError(`--timeout-in-s is "${text}", allowed is a whole number from 1 to ${MAX_TIMEOUT_S}`);
}

/** A client that does not heed the signal must not keep the answer. */
function withinTime(answer: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  const late = Promise.withResolvers<Answer>();
  signal.addEventListener("abort", () => late.resolve(answerOf(signal.reason)));
  return Promise.race([answer, late.promise]);
}

/** What came of asking a relay whether it is ready. */
type Answer =
  | { readonly kind: "ready"; readonly note?: string }
  | { readonly kind: "not_ready"; readonly reason: string }
  /** Nobody listens there. */
  | { readonly kind: "nobody" }
  | { readonly kind: "failed"; readonly reason: string };

/** Of an error of the network, or of the time limit. */
function answerOf(error: unknown): Answer {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return { kind: "nobody" };
  if (name === "AbortError" || name === "TimeoutError")
    return { kind: "failed", reason: "no answer in time" };
  return { kind: "failed", reason: code ?? message.split("\n", 1)[0] ?? "unknown error" };
}

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/** Asks `grpc.health.v1`; as for HTTP, certificates are not looked at. */
async function askGrpc(baseUrl: string, signal: AbortSignal): Promise<Answer> {
  try {
    const transport = createGrpcTransport({ baseUrl, nodeOptions: { rejectUnauthorized: false } });
    const { status } = await createClient(Health, transport).check({ service: "" }, { signal });
    if (status === SERVING) return { kind: "ready" };
    const shown = status === NOT_SERVING ? "NOT_SERVING" : String(status);
    return { kind: "not_ready", reason: `grpc.health.v1 says ${shown}` };
  } catch (error) {
    const told = ConnectError.from(error);
    return signal.aborted ? answerOf(signal.reason) : answerOf(told.cause ?? new Error(told.rawMessage));
  }
}

/** Of a body that says why a relay is not ready. */
const MAX_BODY_CHARACTERS = 64 * 1024;

/** Asks a readiness path. Through no proxy, whatever the environment says: `fetch` would take it. */
async function askHttp(url: string, signal: AbortSignal): Promise<Answer> {
  try {
    const asked = ask(url, signal);
    asked.end();
    const [response] = (await once(asked, "response", { signal })) as [IncomingMessage];
    if (response.statusCode === 200) return { kind: "ready" };
    const reason = reasonIn(await textOf(response)) ?? `it answers ${response.statusCode}`;
    return { kind: "not_ready", reason };
  } catch (error) {
    return answerOf(error);
  }
}

// Nothing secret is said or believed: a certificate that is for another name, or was just replaced, must not make a
// relay that serves look dead.
function ask(url: string, signal: AbortSignal): ClientRequest {
  const options = { signal, agent: false, headers: { connection: "close" } } as const;
  return url.startsWith("https:")
    ? requestSecurely(url, { ...options, rejectUnauthorized: false })
    : request(url, options);
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  response.setEncoding("utf8");
  for await (const chunk of response) {
    text += chunk;
    if (text.length > MAX_BODY_CHARACTERS) break;
  }
  return text;
}

/** As the management port and the port of clients say it. */
function reasonIn(text: string): string | undefined {
  try {
    const { reason, reasons } = JSON.parse(text) as { reason?: unknown; reasons?: unknown };
    if (typeof reason === "string") return reason;
    return Array.isArray(reasons) ? reasons.map(String).join("; ") : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a port that wants a client's certificate does its part of a handshake: we have none to show. */
async function shakeHands(url: string, signal: AbortSignal): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  try {
    await once(socket, "secureConnect", { signal });
    return {
      kind: "ready",
      note: "alive, it asks for a client certificate: whether it is ready can't be told",
    };
  } catch (error) {
    return answerOf(error);
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}
