import { parseSdkKey, readListText, SDK_KEY_RULE, type SdkKey, splitList } from "../../access/sdk-key.ts";
import { ConfigError } from "../settings.ts";

/** The SDK key and the lcut of its version. */
const ENTRY = /^([^=]+)=(\d{1,15})$/;

/** Parses the value of `--pin`. `shown` names the setting in errors, which contain no SDK key. Throws {@link ConfigError}. */
export function readPins(text: string, shown: string): ReadonlyMap<SdkKey, number> {
  const refuse = (problem: string): never => {
    throw new ConfigError(`${shown}: ${problem}`);
  };
  if (text === "") return new Map();
  const pins = splitList(readListText(text, refuse)).map((entry, at): [SdkKey, number] => {
    const [, key = "", lcut] = ENTRY.exec(entry) ?? [];
    const sdkKey = parseSdkKey(key);
    if (sdkKey !== undefined) return [sdkKey, Number(lcut)];
    return refuse(
      `entry ${at + 1} is not KEY=LCUT (expected an SDK key of ${SDK_KEY_RULE}, "=", and the lcut of a version in ms since 1970)`,
    );
  });
  const keys = new Map(pins);
  if (keys.size < pins.length) refuse("it names an SDK key twice (expected one version for each)");
  return keys;
}
