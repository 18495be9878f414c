import { namesOf, type OptionSpec, POSITIONALS } from "../../src/config/option.ts";
import { ALL_OPTIONS, NAME, OPTION_GROUPS } from "../../src/config/options.ts";

/** Returns the manual page in roff, for section 1. */
export function formatManPage(version: string): string {
  return [
    `.TH STATSIG-FORWARD-PROXY 1 "" "${NAME} ${version}" "User Commands"`,
    ".SH NAME",
    `${NAME} \\- relay between Statsig's CDN and your servers`,
    ".SH SYNOPSIS",
    `.B ${NAME}`,
    "[OPTIONS] MODE CACHE",
    ".SH DESCRIPTION",
    "Polls the config specs of each SDK key once, keeps the newest version in memory and serves it to",
    "Statsig's server SDKs over HTTP and gRPC. A failure of Statsig never removes the last known good config.",
    ...POSITIONALS.flatMap(({ name, words, description }) => [
      ".TP",
      `.B ${name.toUpperCase()}`,
      toRoff(`${description}: ${words.join(", ")}.`),
    ]),
    ".SH OPTIONS",
    "Each option is also an environment variable, SFP_ and its name in upper case with underscores, and a key",
    "of the file of \\-\\-config. Flags override variables, which override the file.",
    ...OPTION_GROUPS.flatMap(({ heading, options }) => [
      `.SS ${toRoff(heading)}`,
      ...Object.values(options).flatMap(formatOption),
    ]),
    ".SS Printing",
    ...ALL_OPTIONS.filter((option) => !isGrouped(option)).flatMap(formatOption),
    ".SH FILES",
    ".TP",
    ".I /etc/statsig-forward-proxy/environment",
    "Variables of the relay that systemd starts.",
    ".TP",
    ".I /var/lib/statsig-forward-proxy",
    "Its local cache.",
    ".SH EXIT STATUS",
    "2 for an invalid option, variable or file; 1 if a port, certificate or system limit cannot be used.",
    "",
  ].join("\n");
}

const grouped = new Set(OPTION_GROUPS.flatMap(({ options }) => Object.values(options)));
const isGrouped = (option: OptionSpec) => grouped.has(option);

function formatOption({
  short,
  placeholder,
  default: byDefault,
  description,
  ...option
}: OptionSpec): string[] {
  const names = [
    ...(short === undefined ? [] : [`-${short}`]),
    ...namesOf(option).map((name) => `--${name}`),
  ].map((name) => `\\fB${toRoff(name)}\\fR`);
  const value = option.kind === "flag" || placeholder === undefined ? "" : ` \\fI${toRoff(placeholder)}\\fR`;
  const shown = byDefault === undefined ? "" : ` (default: ${byDefault})`;
  return [".TP", `${names.join(", ")}${value}`, toRoff(`${description}${shown}`)];
}

/** A hyphen would become a dash, and a dot or apostrophe at the start of a line would be a command. */
const toRoff = (text: string) =>
  text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&");
