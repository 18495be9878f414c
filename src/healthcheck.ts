import { readManagement } from "./config.ts";
import { withConfigFile } from "./config-file.ts";
import { readTls } from "./config-tls.ts";
import { MODES } from "./positionals.ts";
import { type Answer, answerOf } from "./probe/answer.ts";
import { askGrpc } from "./probe/ask-grpc.ts";
import { askHttp } from "./probe/ask-http.ts";
import { shakeHands } from "./probe/shake-hands.ts";
import { type Environment, findIn, type GivenConfig } from "./setting-sources.ts";
import { ConfigError, Settings, StartError } from "./settings.ts";

export interface HealthReport {
  readonly isReady: boolean;
  /** One line. */
  readonly text: string;
}

/** A way to ask the relay that runs with the same settings. */
interface Door {
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
    const settings = new Settings(findIn(await withConfigFile(given, env), env));
    const doors = doorsOf(settings, env);
    return await askInTurn(doors, AbortSignal.timeout(timeoutMs(given)));
  } catch (error) {
    if (error instanceof ConfigError || error instanceof StartError) {
      return { isReady: false, text: error.message };
    }
    throw error;
  }
}

/** The first at which somebody listens decides: the relay may have been given options that we were not. */
async function askInTurn(doors: readonly Door[], signal: AbortSignal): Promise<HealthReport> {
  for (const { url, ask } of doors) {
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
  const urls = doors.map(({ url }) => url).join(", ");
  return { isReady: false, text: `nobody listens at ${urls || "any port: each is 0"}` };
}

function doorsOf(settings: Settings, env: Environment): readonly Door[] {
  const mode = settings.isGiven("mode") ? settings.word("mode", MODES) : "grpc-and-http";
  const host = settings.text("bind-address");
  const tls = readTls(settings, env);
  const management = readManagement(settings);
  const secureAsk = (ask: Door["ask"]) => (tls?.requireClientCert ? shakeHands : ask);
  const doors: Door[] = [];
  const add = (scheme: string, address: string, port: number, path: string, ask: Door["ask"]) => {
    if (port !== 0) doors.push({ url: `${scheme}://${reachable(address)}:${port}${path}`, ask });
  };
  if (management !== undefined) add("http", management.bindAddress, management.port, "/readyz", askHttp);
  const isPlaintext = tls === undefined || tls.plaintextToo;
  if (mode !== "grpc" && isPlaintext) add("http", host, settings.integer("http-port"), "/v1/ready", askHttp);
  if (mode !== "grpc" && tls) add("https", host, tls.httpsPort, "/v1/ready", secureAsk(askHttp));
  if (mode !== "http" && isPlaintext) add("http", host, settings.integer("grpc-port"), "", askGrpc);
  if (mode !== "http" && tls) add("https", host, tls.grpcsPort, "", secureAsk(askGrpc));
  return doors;
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
