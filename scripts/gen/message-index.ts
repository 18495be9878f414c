// Generates docs/message-index.md, which leads from what an operator sees, an alert or a log line, to the section about it.
import { join } from "node:path";
import { root } from "../command.ts";
import { type AlertRule, readAlertRules } from "./alert-rules.ts";

const DOCUMENT = join(root, "docs/message-index.md");
const MESSAGES = join(root, "docs/log-messages.md");

/** A message of docs/log-messages.md. */
interface Message {
  readonly text: string;
  readonly level: string;
  readonly section: string;
  /** The alerts that its row names. */
  readonly alerts: readonly string[];
}

/** Writes docs/message-index.md. */
export async function writeMessageIndex(): Promise<void> {
  await Bun.write(DOCUMENT, await formatIndex());
}

/** Returns a problem if docs/message-index.md differs from the alerts and the messages. */
export async function findStaleMessageIndex(): Promise<string[]> {
  const document = Bun.file(DOCUMENT);
  if ((await document.exists()) && (await document.text()) === (await formatIndex())) return [];
  return ["docs/message-index.md does not match the alerts and docs/log-messages.md: run `npm run gen`"];
}

async function formatIndex(): Promise<string> {
  const alerts = (await readAlertRules()).toSorted((a, b) => a.alert.localeCompare(b.alert));
  const messages = readMessages(await Bun.file(MESSAGES).text());
  return [
    "# Message index",
    "",
    "<!-- by `npm run gen`, from deploy/prometheus/alerts.yaml and docs/log-messages.md -->",
    "",
    "What an alert or a log line means and what to do, in alphabetical order.",
    "",
    "## Alerts",
    "",
    "| alert | severity | says |",
    "|---|---|---|",
    ...alerts.map(formatAlert),
    "",
    "## Log lines",
    "",
    "What varies is in the fields of a line: search for its message.",
    "",
    "| message | level | section |",
    "|---|---|---|",
    ...messages.toSorted((a, b) => a.text.localeCompare(b.text)).map(formatMessage),
    "",
  ].join("\n");
}

function formatAlert({ alert, labels, annotations }: AlertRule): string {
  const summary = (annotations["summary"] ?? "").replace(/\{\{[^}]*\}\}/g, "…");
  return `| ${linkTo(alert)} | ${labels["severity"]} | ${summary} |`;
}

const linkTo = (alert: string) => `[${alert}](monitoring.md#${alert.toLowerCase()})`;

function formatMessage({ text, level, section, alerts }: Message): string {
  const slug = section.toLowerCase().replaceAll(" ", "-");
  const links = [`[${section}](log-messages.md#${slug})`, ...alerts.map(linkTo)];
  return `| \`${text}\` | ${level} | ${links.join(", ")} |`;
}

/** A row may begin with several messages. */
function readMessages(document: string): Message[] {
  let section = "";
  return document.split("\n").flatMap((line) => {
    section = /^## (.+)$/.exec(line)?.[1] ?? section;
    if (!line.startsWith("| `")) return [];
    const [, first = "", level = ""] = line.split("|").map((cell) => cell.trim());
    const alerts = [...new Set(line.match(/\bStatsigRelay\w+/g))];
    return Array.from(first.matchAll(/`([^`]+)`/g), ([, text = ""]) => ({ text, level, section, alerts }));
  });
}
