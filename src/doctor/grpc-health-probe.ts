import { readFileSync } from "node:fs";
import type { ClientSessionOptions, SecureClientSessionOptions } from "node:http2";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { compressionGzip, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus } from "../gen/grpc/health/v1/health_pb.ts";
import { untilAborted } from "../platform/abort.ts";
import { systemClock } from "../platform/clock.ts";
import { describeErrno } from "../platform/errors.ts";
import { VERSION_LINE } from "../version.ts";
import { ProbeFlagError, type ProbeFlags, type ProbeTls, parseProbeFlags } from "./probe-flags.ts";

/** Exit codes of `grpc_health_probe`. */
const EXIT = { serving: 0, invalidArguments: 1, noConnection: 2, rpcFailed: 3, unhealthy: 4 } as const;

/** Time between attempts to connect. A server that is starting may listen before the timeout. */
const RETRY_MS = 50;

/**
 * Calls Check of `grpc.health.v1` like `grpc_health_probe` of the gRPC project, with its flags, exit codes and messages. Resolves with
 * the exit code.
 */
export async function runGrpcHealthProbe(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  try {
    const flags = parseProbeFlags(argv);
    if (flags === "version") {
      print(`grpc-health-probe of statsig-forward-proxy ${VERSION_LINE}`);
      return EXIT.serving;
    }
    const session = await connect(flags, readCredentials(flags.tls));
    if (flags.isVerbose) print(`connection established to ${flags.baseUrl}`);
    const status = await check(flags, session);
    print(`status: ${status}`);
    return EXIT.serving;
  } catch (error) {
    if (error instanceof ProbeFlagError) {
      print(`error: ${error.message}`);
      return EXIT.invalidArguments;
    }
    if (!(error instanceof ProbeError)) throw error;
    print(error.message);
    return error.exitCode;
  }
}

/** The server is not serving, or could not be asked. */
class ProbeError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Reads the files of the TLS flags. A file that cannot be read is an invalid argument. */
function readCredentials(tls: ProbeTls | undefined): ClientSessionOptions | SecureClientSessionOptions {
  if (tls === undefined) return {};
  const { isVerified, caPath, certPath, keyPath, serverName } = tls;
  return {
    rejectUnauthorized: isVerified,
    ...(caPath !== undefined && { ca: readPem("-tls-ca-cert", caPath) }),
    ...(certPath !== undefined && { cert: readPem("-tls-client-cert", certPath) }),
    ...(keyPath !== undefined && { key: readPem("-tls-client-key", keyPath) }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

function readPem(flag: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ProbeFlagError(`cannot read ${flag} "${path}": ${describeErrno(error)}`);
  }
  if (!text.includes("-----BEGIN ")) throw new ProbeFlagError(`${flag} "${path}" holds no PEM block`);
  return text;
}

/** Connects, and tries again until `-connect-timeout`. */
async function connect(
  { addr, baseUrl, connectTimeout }: ProbeFlags,
  credentials: ClientSessionOptions | SecureClientSessionOptions,
): Promise<Http2SessionManager> {
  const signal = AbortSignal.timeout(connectTimeout.ms);
  let reason = "";
  try {
    for (;;) {
      const session = new Http2SessionManager(baseUrl, {}, credentials);
      if ((await untilAborted(session.connect(), signal)) !== "error") return session;
      reason = `: ${describeConnectError(session.error())}`;
      await systemClock.sleep(RETRY_MS, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new ProbeError(
      `timeout: failed to connect service "${addr}" within ${connectTimeout.text}${reason}`,
      EXIT.noConnection,
    );
  }
}

function describeConnectError(error: unknown): string {
  const { cause, rawMessage } = ConnectError.from(error);
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code === undefined ? rawMessage : describeErrno(cause);
}

const { SERVING } = HealthCheckResponse_ServingStatus;

/** Returns the status `SERVING`. Throws {@link ProbeError} for any other, and if the call fails. */
async function check(flags: ProbeFlags, sessionManager: Http2SessionManager): Promise<string> {
  const { baseUrl, service, headers, isGzipped, rpcTimeout } = flags;
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    ...(isGzipped && { sendCompression: compressionGzip, compressMinBytes: 0 }),
  });
  const signal = AbortSignal.timeout(rpcTimeout.ms);
  const call = createClient(Health, transport).check(
    { service },
    { headers: headers.map(([name, value]): [string, string] => [name, value]), signal },
  );
  // A server that does not answer must not delay the result.
  const { status } = await untilAborted(call, signal).catch((error: unknown) => {
    throw signal.aborted
      ? new ProbeError(`timeout: health rpc did not complete within ${rpcTimeout.text}`, EXIT.rpcFailed)
      : toProbeError(error, flags);
  });
  const shown = nameOfStatus(status);
  if (status === SERVING) return shown;
  throw new ProbeError(`service unhealthy (responded with "${shown}")`, EXIT.unhealthy);
}

function nameOfStatus(status: number): string {
  const named = Object.entries(HealthCheckResponse_ServingStatus).find(([, value]) => value === status);
  return named?.[0] ?? String(status);
}

/**
 * Converts the error of a call. An error of the connection has a cause, such as a server that requires a client certificate, or is a
 * cancellation that was not ours, such as a server that closes the connection.
 */
function toProbeError(error: unknown, { addr, rpcTimeout }: ProbeFlags): ProbeError {
  const { code, rawMessage, cause } = ConnectError.from(error);
  if (cause !== undefined || code === Code.Canceled) {
    const reason = cause === undefined ? "connection closed" : describeConnectError(error);
    return new ProbeError(`error: failed to connect service at "${addr}": ${reason}`, EXIT.noConnection);
  }
  switch (code) {
    case Code.Unimplemented: {
      const problem = "this server does not implement the grpc health protocol (grpc.health.v1.Health)";
      return new ProbeError(`error: ${problem}: ${rawMessage}`, EXIT.rpcFailed);
    }
    case Code.DeadlineExceeded:
      return new ProbeError(`timeout: health rpc did not complete within ${rpcTimeout.text}`, EXIT.rpcFailed);
    default: {
      const description = `rpc error: code = ${Code[code]} desc = ${rawMessage}`;
      return new ProbeError(`error: health rpc failed: ${description}`, EXIT.rpcFailed);
    }
  }
}
