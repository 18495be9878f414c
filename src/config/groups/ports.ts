import { isIP } from "node:net";
import { withoutQuotes } from "../hints.ts";
import type { OptionSpec } from "../option.ts";
import { ConfigError, invalidValue, type Settings } from "../settings.ts";

/** A port that the relay opens. */
interface OwnPort {
  /** The option that sets it. */
  readonly option: string;
  readonly bindAddress: string;
  /** 0 means any free port. */
  readonly port: number;
}

/** Throws ConfigError for what is neither an IP address nor the form of a host name. Only opening the port shows whether it exists. */
export function readAddress(settings: Settings, option: OptionSpec): string {
  const text = settings.text(option);
  if (text === "" || isIP(text) !== 0 || /^[\w-]+(?:\.[\w-]+)*\.?$/.test(text)) return text;
  const expected = "an IP address or a host name, without a port";
  throw invalidValue(settings.shown(option), text, expected, meantAddress(text));
}

function meantAddress(text: string): string | undefined {
  const plain = withoutQuotes(text).replace(/^\w+:\/\//, "");
  if (plain === "*" || /^:\d+$/.test(plain)) return "::";
  const [, bracketed, host] = /^(?:\[([^\]]+)\]|([\w.-]+))(?::\d+)?(?:\/.*)?$/.exec(plain) ?? [];
  return bracketed ?? host;
}

const EVERY_ADDRESS = ["::", "0.0.0.0"];

/**
 * Throws ConfigError for two ports of the relay that are the same. The system may accept that, and spread connections over both. `shown`
 * returns an option as the user wrote it.
 */
export function checkPortsDiffer(ports: readonly OwnPort[], shown: (option: string) => string): void {
  const used: OwnPort[] = [];
  for (const each of ports) {
    const same = used.find(
      ({ port, bindAddress }) => port === each.port && overlap(bindAddress, each.bindAddress),
    );
    if (same !== undefined && each.port !== 0) {
      throw new ConfigError(
        `${shown(each.option)} is ${each.port}, as is ${shown(same.option)} (expected a port of its own)`,
      );
    }
    used.push(each);
  }
}

const overlap = (one: string, other: string): boolean =>
  one === other || [one, other].some((address) => EVERY_ADDRESS.includes(address));
