import { redactSecrets } from "./access/redact.ts";
import { chooseWidth } from "./cli/columns.ts";
import { parseInvocation } from "./cli/parse.ts";
import { runNamedProgram } from "./cli/programs.ts";
import { runSubcommand } from "./cli/run-subcommand.ts";
import { listenToSignals } from "./cli/signals.ts";
import { formatStartFailure, type Start } from "./cli/start-failure.ts";
import { type Config, readConfig } from "./config/config.ts";
import { readEnvironment } from "./config/environment.ts";
import { withConfigFile } from "./config/file.ts";
import { logNotices } from "./config/notices.ts";
import { CACHE_KIND, MODE } from "./config/option.ts";
import { CONFIG_FILE, environmentNames } from "./config/options.ts";
import { exemptMetadataServer, PROXY_NAMES } from "./config/proxies.ts";
import { Reloader } from "./config/reload.ts";
import { displayUrl, type Environment, type GivenConfig } from "./config/settings.ts";
import type { Announce } from "./demo/demo.ts";
import { systemClock } from "./platform/clock.ts";
import { describeError, EXIT_FAILED, UserError } from "./platform/errors.ts";
import { dropUnusableAuthorities } from "./platform/process/authorities.ts";
import { listenForFaults, type ReportFault } from "./platform/supervisor.ts";
import { describeAddress } from "./redis/options.ts";
import { logForeignOutput } from "./telemetry/logging/foreign-lines.ts";
import { LineLogger } from "./telemetry/logging/logger.ts";
import { VERSION } from "./version.ts";

/** How long to wait at exit until the last lines are written. */
const FLUSH_MS = 500;

/** The relay keeps serving when the reader of its output is gone or the disk behind it is full. */
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const { env: environment, ...notices } = readEnvironment(process.env);
useProxiesOf(environment);
const exitCode = await main(process.argv.slice(2));
await Promise.race([flushed(process.stdout), new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
// Open handles and lines that are not read must not keep the process alive.
process.exit(exitCode);

async function main(argv: readonly string[]): Promise<number> {
  let relay: GivenConfig | undefined;
  try {
    const printLine = (line: string) => process.stderr.write(`${line}\n`);
    const ended = await runNamedProgram(process.argv0, argv, printLine);
    if (ended !== undefined) return ended;
    if (isBareStart(argv)) {
      const { formatFirstSteps } = await import("./cli/help.ts");
      process.stderr.write(`${formatFirstSteps()}\n\n`);
    }
    const invocation = parseInvocation(
      argv,
      chooseWidth(process.stdout.columns ?? Number(process.env["COLUMNS"])),
    );
    switch (invocation.kind) {
      case "print":
        print(invocation.text);
        return 0;
      case "relay":
        relay = invocation.given;
        relay = await withConfigFile(relay, environment);
        return await serve(relay);
      case "print-config": {
        const { formatConfig } = await import("./cli/print-config.ts");
        const given = await withConfigFile(invocation.given, environment);
        print(formatConfig(given, environment, notices.doubtful));
        return 0;
      }
      case "subcommand":
        if (invocation.name === "offline") relay = invocation.given;
        return await runSubcommand(invocation, { env: environment, print, serve });
    }
  } catch (error) {
    return reportFailure(error, { argv, env: environment, given: relay });
  }
}

/** Returns whether neither arguments nor variables say what to do: a first try, which is not only answered by an error. */
function isBareStart(argv: readonly string[]): boolean {
  return (
    argv.length === 0 &&
    [MODE, CACHE_KIND, CONFIG_FILE].flatMap(environmentNames).every((name) => !environment[name])
  );
}

async function serve(
  given: GivenConfig,
  env: Environment = environment,
  announce?: Announce,
): Promise<number> {
  const config = readConfig(given, env);
  useProxiesOf(env);
  // Loaded here, so that probes and other commands start in half the time.
  const { startRelay } = await import("./relay/relay.ts");
  const { localUrl } = await import("./relay/listening.ts");
  const logger = new LineLogger((line) => process.stdout.write(line), config.logging);
  logForeignOutput(logger, systemClock);
  const unusable = dropUnusableAuthorities(env["NODE_EXTRA_CA_CERTS"]);
  if (unusable !== undefined)
    logger.log("warn", "NODE_EXTRA_CA_CERTS unusable, ignored", { reason: unusable });
  const signals = listenToSignals();
  const faults = listenForFaults(reportWhileStarting(logger, given));
  {
    await using relay = await startRelay(config, { logger, faults });
    for (const listener of relay.listeners) {
      logger.log("info", "listening", { protocol: listener.protocol, address: localUrl(listener) });
    }
    logger.log("info", "serving", describe(config));
    logNotices({ given, env, config, logger }, notices);
    announce?.(relay.listeners.map((listener) => ({ protocol: listener.protocol, url: localUrl(listener) })));
    using reloader = new Reloader({ given, env, config, relay, logger });
    signals.onReload(() => reloader.reload());
    const signal = await signals.stop;
    const { shutdownDelayMs, shutdownGraceMs } = reloader.config;
    const delay = shutdownDelayMs > 0 && { delay_s: shutdownDelayMs / 1_000 };
    logger.log("info", "stopping", { signal, ...delay, grace_s: shutdownGraceMs / 1_000 });
    relay.stopping();
    await signals.delayed(shutdownDelayMs);
  }
  logger.log("info", "stopped");
  return 0;
}

/**
 * Until the relay serves, an uncaught exception ends the process: the start might wait forever for the part that threw. An
 * unhandled rejection is only logged. Once the relay serves, it continues after both.
 */
function reportWhileStarting(logger: LineLogger, given: GivenConfig): ReportFault {
  return (kind, error) => {
    if (kind === "unhandled_rejection") {
      logger.log("error", "unexpected error, relay continues", { task: kind, ...describeError(error) });
      return;
    }
    process.exit(reportFailure(error, { argv: [], env: environment, given }));
  };
}

function describe(config: Config) {
  const { mode, cache, upstreamEndpoints, pollIntervalMs, redis, blobStorage, bootstrap } = config;
  const { path } = bootstrap;
  if (bootstrap.offline) return { mode, cache, offline: true, bootstrap_path: path, version: VERSION };
  return {
    mode,
    cache,
    ...(path !== undefined && { bootstrap_path: path }),
    ...(cache === "local" && { local_cache_path: config.local.path }),
    ...(cache === "redis" && { redis: describeAddress(redis.connection), fleet_polling: redis.fleetPolling }),
    ...(blobStorage !== undefined && { blob_storage: displayUrl(blobStorage.baseUrl) }),
    upstream: upstreamEndpoints.map(({ url }) => displayUrl(url)).join(","),
    ...(upstreamEndpoints.some(({ proxied }) => proxied) && { through_proxy: true }),
    polling_interval_s: pollIntervalMs / 1_000,
    version: VERSION,
  };
}

/** Requests of this process use only the proxies of this environment. `fetch` reads the variables of the process at each request. */
function useProxiesOf(env: Environment): void {
  for (const name of PROXY_NAMES) if (!env[name]) delete process.env[name];
  if (PROXY_NAMES.some((name) => env[name])) process.env["NO_PROXY"] = exemptMetadataServer(env);
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints one line and returns the exit code. Anything but a {@link UserError} is a bug of the relay. */
function reportFailure(error: unknown, start: Start): number {
  const isExpected = error instanceof UserError;
  const problem = isExpected ? error.message : unexpected(error);
  const exitCode = isExpected ? error.exitCode : EXIT_FAILED;
  // Always one line, whatever the message quotes.
  const line = redactSecrets(problem.replaceAll(/\s+/g, " "));
  process.stderr.write(formatStartFailure(line, exitCode, start));
  return exitCode;
}

function unexpected(error: unknown): string {
  const { detail, at } = describeError(error);
  return `unexpected: ${detail}${at === undefined ? "" : `, at ${at}`}`;
}
