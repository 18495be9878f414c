import { redactSecrets } from "../access/sdk-key.ts";
import { describeError, type Supervisor } from "../platform/supervisor.ts";
import type { LineLogger } from "../telemetry/logging/logger.ts";
import { type Config, configFrom } from "./config.ts";
import { withConfigFile } from "./file.ts";
import { findSetting, SETTINGS } from "./options.ts";
import {
  ConfigError,
  type Environment,
  type FindSetting,
  type GivenConfig,
  type Setting,
  type SettingName,
  Settings,
  StartError,
} from "./settings.ts";

interface ReloaderOptions {
  /** What the relay was started with. */
  readonly given: GivenConfig;
  readonly env: Environment;
  readonly config: Config;
  readonly relay: { reconfigure(config: Config): void; readonly supervisor: Supervisor };
  readonly logger: Pick<LineLogger, "log" | "reconfigure" | "writes">;
}

/** What a new configuration comes to. */
interface Plan {
  readonly path: string | undefined;
  readonly settings: ReadonlyMap<SettingName, Setting>;
  readonly config: Config;
  readonly changed: readonly SettingName[];
  readonly needsRestart: readonly SettingName[];
}

/** Reads the configuration again, and hands the relay what may change while it goes on: all of it, or nothing. */
export class Reloader implements Disposable {
  readonly #options: ReloaderOptions;
  #settings: ReadonlyMap<SettingName, Setting>;
  #config: Config;
  #reloading: Promise<void> = Promise.resolve();
  #isOver = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    const find = findSetting(options.given, options.env);
    this.#settings = new Map(SETTINGS.map(({ name }) => [name, find(name)]));
    this.#config = options.config;
  }

  /** What the relay goes by now. */
  get config(): Config {
    return this.#config;
  }

  /** One after the other, however often it is asked for. */
  reload(): void {
    const { supervisor } = this.#options.relay;
    this.#reloading = this.#reloading.then(() => supervisor.task("config_reload", () => this.#reload()));
  }

  async #reload(): Promise<void> {
    const { relay, logger } = this.#options;
    let plan: Plan;
    try {
      plan = await this.#read();
    } catch (error) {
      const isExplained = error instanceof ConfigError || error instanceof StartError;
      // A fault of ours must not end a relay that serves.
      const reason = isExplained
        ? redactSecrets(error.message)
        : `unexpected: ${describeError(error).detail}`;
      logger.log("warn", "the new configuration can't be used, everything stays as it was", { reason });
      return;
    }
    if (this.#isOver) return;
    relay.reconfigure(plan.config);
    this.#settings = plan.settings;
    this.#config = plan.config;
    // Whether lines become more or fewer, this one is written.
    if (!logger.writes("info")) logger.reconfigure(plan.config.logging);
    this.#tell(plan);
    logger.reconfigure(plan.config.logging);
  }

  /** Throws ConfigError or StartError. */
  async #read(): Promise<Plan> {
    const { given, env } = this.#options;
    const next = await withConfigFile(given, env);
    const wanted = findSetting(next, env);
    const running: FindSetting = (name) => this.#settings.get(name) ?? wanted(name);
    // What a restart would do with it must be right as well: it may come at any time.
    configFrom(wanted, env);
    const isLive = liveIn(running, wanted);
    const settings = new Map(SETTINGS.map(({ name }) => [name, isLive(name) ? wanted(name) : running(name)]));
    const config = configFrom((name) => settings.get(name) ?? wanted(name), env);
    const differing = SETTINGS.map(({ name }) => name).filter((name) => differs(name, running, wanted));
    const keysDiffer = String(config.preloadSdkKeys) !== String(this.#config.preloadSdkKeys);
    return {
      path: next.file?.path,
      settings,
      config,
      changed: SETTINGS.map(({ name }) => name).filter(
        (name) => (isLive(name) && differing.includes(name)) || (name === "preload-sdk-keys" && keysDiffer),
      ),
      needsRestart: differing.filter((name) => !isLive(name) && name !== "config"),
    };
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
  }

  #tell({ path, changed, needsRestart }: Plan): void {
    const { logger } = this.#options;
    const fields = { changed: changed.join(",") || "nothing" };
    if (path === undefined) {
      const message = "certificates and files of SDK keys are read again; there is no --config";
      logger.log("info", message, fields);
      return;
    }
    logger.log("info", "configuration reloaded", { file: path, ...fields });
    if (needsRestart.length === 0) return;
    logger.log("warn", "other options differ now, they need a restart", { options: needsRestart.join(",") });
  }
}

/** Those of the table that are; but a relay for all keys does not become one for some, nor the other way round. */
function liveIn(running: FindSetting, wanted: FindSetting): (name: SettingName) => boolean {
  const names = new Set(SETTINGS.filter(({ isLive }) => isLive).map(({ name }) => name));
  const [had, has] = [running, wanted].map((find) => find("allowed-sdk-keys").text !== "");
  if (had !== has) names.delete("allowed-sdk-keys");
  return (name) => names.has(name);
}

function differs(name: SettingName, running: FindSetting, wanted: FindSetting): boolean {
  return new Settings(running).value(name) !== new Settings(wanted).value(name);
}
