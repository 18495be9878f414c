import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { request as requestSecurely } from "node:https";
import { connect } from "node:tls";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { withConfigFile } from "../config/file.ts";
import { readListeners, readManagementAddress, toLocalHost } from "../config/groups/listeners.ts";
import { readTls } from "../config/groups/tls.ts";
import { MODE } from "../config/option.ts";
import { findSetting } from "../config/options.ts";
import { type Environment, type GivenConfig, invalidValue, Settings } from "../config/settings.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../gen/grpc/health/v1/health_pb.ts";
import { untilAborted } from "../platform/abort.ts";
import { UserError } from "../platform/errors.ts";

interface HealthReport {
  readonly isReady: boolean;
  /** One line. */
  readonly text: string;
}

/** A request that shows whether the relay with the same settings is ready. */
interface Probe {
  readonly url: string;
  readonly send: (url: string, signal: AbortSignal) => Promise<ProbeResult>;
}

const MAX_TIMEOUT_S = 300;

/**
 * Checks the relay on this machine that was started with the same options, environment and file. It probes the management port first,
 * which has no TLS and does not count towards the limits for clients.
 */
export async function checkHealth(given: GivenConfig, env: Environment): Promise<HealthReport> {
  try {
    const settings = new Settings(findSetting(await withConfigFile(given, env), env));
    const probes = probesFor(settings, env);
    return await sendInTurn(probes, AbortSignal.timeout(timeoutMs(given)));
  } catch (error) {
    if (error instanceof UserError) return { isReady: false, text: error.message };
    throw error;
  }
}

/** The first port that something listens on decides, since the relay may have options that we were not given. */
async function sendInTurn(probes: readonly Probe[], signal: AbortSignal): Promise<HealthReport> {
  for (const { url, send } of probes) {
    // A client that ignores the signal must not delay the result.
    const result = await untilAborted(send(url, signal), signal).catch(toResult);
    switch (result.kind) {
      case "ready":
        return { isReady: true, text: `${result.note ?? "ready"} (${url})` };
      case "not_ready":
        return { isReady: false, text: `not ready: ${result.reason} (${url})` };
      case "failed":
        return { isReady: false, text: `readiness unknown: ${result.reason} (${url})` };
      case "not_listening":
        break;
    }
  }
  const urls = probes.map(({ url }) => url).join(", ");
  return { isReady: false, text: `nothing is listening at ${urls || "any port, since each is 0"}` };
}

function probesFor(settings: Settings, env: Environment): readonly Probe[] {
  const mode = settings.isGiven(MODE) ? settings.word(MODE) : "grpc-and-http";
  const tls = readTls(settings, env);
  const management = readManagementAddress(settings);
  const probe = (url: string, send: Probe["send"]): Probe => ({ url, send });
  const probes = readListeners(settings, mode, tls)
    .filter(({ port }) => port !== 0)
    .map(({ protocol, bindAddress, port }) => {
      const isSecure = protocol === "https" || protocol === "grpcs";
      const isHttp = protocol === "http" || protocol === "https";
      const url = `${isSecure ? "https" : "http"}://${toLocalHost(bindAddress)}:${port}${isHttp ? "/v1/ready" : ""}`;
      return probe(url, isSecure && tls?.requireClientCert ? probeTls : isHttp ? probeHttp : probeGrpc);
    });
  if (management === undefined) return probes;
  const { bindAddress, port } = management;
  return [probe(`http://${toLocalHost(bindAddress)}:${port}/readyz`, probeHttp), ...probes];
}

function timeoutMs({ values }: GivenConfig): number {
  const text = values.get("timeout-in-s") ?? "2";
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= MAX_TIMEOUT_S) return seconds * 1_000;
  throw invalidValue("--timeout-in-s", text, `a whole number from 1 to ${MAX_TIMEOUT_S}`);
}

type ProbeResult =
  | { readonly kind: "ready"; readonly note?: string }
  | { readonly kind: "not_ready"; readonly reason: string }
  | { readonly kind: "not_listening" }
  | { readonly kind: "failed"; readonly reason: string };

/** Converts an error of the network or of the time limit. */
function toResult(error: unknown): ProbeResult {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return { kind: "not_listening" };
  if (name === "AbortError" || name === "TimeoutError") {
    return { kind: "failed", reason: "no response in time" };
  }
  return { kind: "failed", reason: code ?? message.split("\n", 1)[0] ?? "unknown error" };
}

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/** Calls `grpc.health.v1`. As over HTTP, the certificate is not verified. */
async function probeGrpc(baseUrl: string, signal: AbortSignal): Promise<ProbeResult> {
  try {
    const transport = createGrpcTransport({ baseUrl, nodeOptions: { rejectUnauthorized: false } });
    const { status } = await createClient(Health, transport).check({ service: "" }, { signal });
    if (status === SERVING) return { kind: "ready" };
    const shown = status === NOT_SERVING ? "NOT_SERVING" : String(status);
    return { kind: "not_ready", reason: `grpc.health.v1 reports ${shown}` };
  } catch (error) {
    const { cause, rawMessage } = ConnectError.from(error);
    return toResult(signal.aborted ? signal.reason : (cause ?? new Error(rawMessage)));
  }
}

/** Characters that are read of the body of a relay that is not ready. */
const MAX_BODY_CHARACTERS = 64 * 1024;

/** Requests a readiness path. Unlike `fetch`, it never uses a proxy of the environment. */
async function probeHttp(url: string, signal: AbortSignal): Promise<ProbeResult> {
  try {
    const sent = createRequest(url, signal);
    sent.end();
    const [response] = (await once(sent, "response", { signal })) as [IncomingMessage];
    if (response.statusCode === 200) return { kind: "ready" };
    const reason = parseReason(await readText(response)) ?? `HTTP ${response.statusCode}`;
    return { kind: "not_ready", reason };
  } catch (error) {
    return toResult(error);
  }
}

/**
 * The certificate is not verified: the request holds no secret, and a certificate for another name, or one that was just replaced, must
 * not make a relay that serves look dead.
 */
function createRequest(url: string, signal: AbortSignal): ClientRequest {
  const options = { signal, agent: false, headers: { connection: "close" } } as const;
  return url.startsWith("https:")
    ? requestSecurely(url, { ...options, rejectUnauthorized: false })
    : request(url, options);
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = "";
  response.setEncoding("utf8");
  for await (const chunk of response) {
    text += chunk;
    if (text.length > MAX_BODY_CHARACTERS) break;
  }
  return text;
}

/** Parses the body of the management port (`reasons`) and of a client port (`reason`). */
function parseReason(text: string): string | undefined {
  try {
    const { reason, reasons } = JSON.parse(text) as { reason?: unknown; reasons?: unknown };
    if (typeof reason === "string") return reason;
    return Array.isArray(reasons) ? reasons.map(String).join("; ") : undefined;
  } catch {
    return undefined;
  }
}

/** Does a TLS handshake with a port that requires a client certificate, which this process does not have. */
async function probeTls(url: string, signal: AbortSignal): Promise<ProbeResult> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  try {
    await once(socket, "secureConnect", { signal });
    return {
      kind: "ready",
      note: "alive, but readiness is unknown without a client certificate",
    };
  } catch (error) {
    return toResult(error);
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}
