import { redactSecrets } from "../access/sdk-key.ts";
import { describeError, UserError } from "../platform/errors.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { LineLogger } from "../telemetry/logging/logger.ts";
import { type Config, configFrom } from "./config.ts";
import { withConfigFile } from "./file.ts";
import { LIMITS } from "./limits.ts";
import type { OptionSpec } from "./option.ts";
import { CONFIG_FILE, findSetting, SETTINGS } from "./options.ts";
import { type Environment, type FindSetting, type GivenConfig, type Setting, Settings } from "./settings.ts";
import { SPECS } from "./specs.ts";

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
  readonly settings: ReadonlyMap<OptionSpec, Setting>;
  readonly config: Config;
  readonly changed: readonly OptionSpec[];
  readonly needsRestart: readonly OptionSpec[];
}

/** Reads the configuration again, and hands the relay what may change while it goes on: all of it, or nothing. */
export class Reloader implements Disposable {
  readonly #options: ReloaderOptions;
  #settings: ReadonlyMap<OptionSpec, Setting>;
  #config: Config;
  #reloading: Promise<void> = Promise.resolve();
  #isOver = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    const find = findSetting(options.given, options.env);
    this.#settings = new Map(SETTINGS.map((option) => [option, find(option)]));
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
      // A bug must not stop a relay that serves.
      const reason =
        error instanceof UserError
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
    const running: FindSetting = (option) => this.#settings.get(option) ?? wanted(option);
    // What a restart would do with it must be right as well: it may come at any time.
    configFrom(wanted, env);
    const isReloadable = reloadableIn(running, wanted);
    const settings = new Map(
      SETTINGS.map((option) => [option, isReloadable(option) ? wanted(option) : running(option)]),
    );
    const config = configFrom((option) => settings.get(option) ?? wanted(option), env);
    const differing = SETTINGS.filter((option) => differs(option, running, wanted));
    const keysDiffer = String(config.preloadSdkKeys) !== String(this.#config.preloadSdkKeys);
    return {
      path: next.file?.path,
      settings,
      config,
      changed: SETTINGS.filter(
        (option) =>
          (isReloadable(option) && differing.includes(option)) ||
          (option === SPECS.preloadSdkKeys && keysDiffer),
      ),
      needsRestart: differing.filter((option) => !isReloadable(option) && option !== CONFIG_FILE),
    };
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
  }

  #tell({ path, changed, needsRestart }: Plan): void {
    const { logger } = this.#options;
    const fields = { changed: namesIn(changed) || "nothing" };
    if (path === undefined) {
      const message = "certificates and files of SDK keys are read again; there is no --config";
      logger.log("info", message, fields);
      return;
    }
    logger.log("info", "configuration reloaded", { file: path, ...fields });
    if (needsRestart.length === 0) return;
    logger.log("warn", "other options differ now, they need a restart", { options: namesIn(needsRestart) });
  }
}

const namesIn = (options: readonly OptionSpec[]) => options.map(({ name }) => name).join(",");

/** A relay that serves all SDK keys cannot start to serve only some of them without a restart, nor the other way round. */
function reloadableIn(running: FindSetting, wanted: FindSetting): (option: OptionSpec) => boolean {
  const [had, has] = [running, wanted].map((find) => find(LIMITS.allowedSdkKeys).text !== "");
  return (option) => option.isReloadable === true && (option !== LIMITS.allowedSdkKeys || had === has);
}

function differs(option: OptionSpec, running: FindSetting, wanted: FindSetting): boolean {
  return new Settings(running).value(option) !== new Settings(wanted).value(option);
}
