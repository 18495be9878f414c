import { redactSecrets } from "../access/redact.ts";
import { describeError, UserError } from "../platform/errors.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { LineLogger } from "../telemetry/logging/logger.ts";
import { type Config, configFrom } from "./config.ts";
import { withConfigFile } from "./file.ts";
import { ACCESS } from "./groups/access.ts";
import { SPECS } from "./groups/specs.ts";
import { logReplacedValues } from "./notices.ts";
import type { OptionSpec } from "./option.ts";
import { CONFIG_FILE, findSetting, SETTINGS } from "./options.ts";
import { type Environment, type FindSetting, type GivenConfig, type Setting, Settings } from "./settings.ts";

interface ReloaderOptions {
  /** The command line that the relay was started with. */
  readonly given: GivenConfig;
  readonly env: Environment;
  readonly config: Config;
  readonly relay: { reconfigure(config: Config): void; readonly supervisor: Supervisor };
  readonly logger: Pick<LineLogger, "log" | "reconfigure" | "writes">;
}

/** The effect of a new configuration. */
interface Plan {
  readonly given: GivenConfig;
  readonly settings: ReadonlyMap<OptionSpec, Setting>;
  readonly config: Config;
  readonly changed: readonly OptionSpec[];
  readonly needsRestart: readonly OptionSpec[];
}

/** Reads the configuration again and applies its reloadable options to the running relay. An invalid configuration changes nothing. */
export class Reloader implements Disposable {
  readonly #options: ReloaderOptions;
  #settings: ReadonlyMap<OptionSpec, Setting>;
  #config: Config;
  #reloading: Promise<void> = Promise.resolve();
  #isDisposed = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    const find = findSetting(options.given, options.env);
    this.#settings = new Map(SETTINGS.map((option) => [option, find(option)]));
    this.#config = options.config;
  }

  /** The configuration that is in effect. */
  get config(): Config {
    return this.#config;
  }

  /** Queues a reload. Reloads run one after the other. */
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
      // Even a bug here must not stop a relay that serves.
      const reason =
        error instanceof UserError
          ? redactSecrets(error.message)
          : `unexpected: ${describeError(error).detail}`;
      logger.log("warn", "configuration reload failed, keeping the current configuration", { reason });
      return;
    }
    if (this.#isDisposed) return;
    relay.reconfigure(plan.config);
    this.#settings = plan.settings;
    this.#config = plan.config;
    // If the level rises above info or falls to it, this line is still written.
    if (!logger.writes("info")) logger.reconfigure(plan.config.logging);
    this.#log(plan);
    logReplacedValues({ given: plan.given, env: this.#options.env, logger });
    logger.reconfigure(plan.config.logging);
  }

  /** Throws ConfigError or StartError. */
  async #read(): Promise<Plan> {
    const { given, env } = this.#options;
    const next = await withConfigFile(given, env);
    const wanted = findSetting(next, env);
    const running: FindSetting = (option) => this.#settings.get(option) ?? wanted(option);
    // The whole file must be valid, since a restart may apply all of it at any time.
    configFrom(wanted, env);
    const isReloadable = findReloadable(running, wanted);
    const settings = new Map(
      SETTINGS.map((option) => [option, isReloadable(option) ? wanted(option) : running(option)]),
    );
    const config = configFrom((option) => settings.get(option) ?? wanted(option), env);
    const differing = SETTINGS.filter((option) => differs(option, running, wanted));
    const keysDiffer = String(config.preloadSdkKeys) !== String(this.#config.preloadSdkKeys);
    return {
      given: next,
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
    this.#isDisposed = true;
  }

  #log({ given, changed, needsRestart }: Plan): void {
    const { logger } = this.#options;
    const path = given.file?.path;
    const fields = { changed: formatNames(changed) || "nothing" };
    if (path === undefined) {
      const message = "certificates and SDK key files reloaded, no --config to reload";
      logger.log("info", message, fields);
      return;
    }
    logger.log("info", "configuration reloaded", { file: path, ...fields });
    if (needsRestart.length === 0) return;
    logger.log("warn", "restart required for changed options", { options: formatNames(needsRestart) });
  }
}

const formatNames = (options: readonly OptionSpec[]) => options.map(({ name }) => name).join(",");

/** Switching between serving all SDK keys and serving a list of them requires a restart. */
function findReloadable(running: FindSetting, wanted: FindSetting): (option: OptionSpec) => boolean {
  const [had, has] = [running, wanted].map((find) => find(ACCESS.allowedSdkKeys).text !== "");
  return (option) => option.isReloadable === true && (option !== ACCESS.allowedSdkKeys || had === has);
}

function differs(option: OptionSpec, running: FindSetting, wanted: FindSetting): boolean {
  return new Settings(running).value(option) !== new Settings(wanted).value(option);
}
