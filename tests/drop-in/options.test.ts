import { beforeAll, describe, expect } from "bun:test";
import PQueue from "p-queue";
import { testRows } from "../support/drop-in/row.ts";
import { type FinishedRun, runRelay } from "../support/relay/relay-process.ts";
import { COMMAND_ROWS, type CommandRow } from "./options.rows.ts";
import { VARIABLE_ROWS } from "./variables.rows.ts";

const ROWS: readonly CommandRow[] = [...COMMAND_ROWS, ...VARIABLE_ROWS];

/** A command that shows the outcome of its rows. */
interface Command {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly rows: readonly CommandRow[];
}

const PRINT = "--print-config";

/** Returns the names of the options and variables that a row sets, or leaves at their default. */
const namesIn = ({ options = [], env = {}, outcome }: CommandRow): readonly string[] => [
  ...options.filter((word) => word.startsWith("-")).map((word) => word.replace(/=.*/, "")),
  ...Object.keys(env),
  ...("prints" in outcome ? [outcome.prints.replace(/^# /, "").replace(/[:= ].*/, "")] : []),
];

/** Rows that set different options share a command, since each takes a fifth of a second. */
function toCommands(rows: readonly CommandRow[]): readonly Command[] {
  const shared: { names: Set<string>; rows: CommandRow[] }[] = [];
  const alone: Command[] = [];
  for (const each of rows) {
    const { argv, options = [], env = {}, outcome } = each;
    if (argv !== undefined || !("prints" in outcome)) {
      const words = argv ?? ["http", "disabled", ...options];
      alone.push({ argv: "prints" in outcome ? [PRINT, ...words] : words, env, rows: [each] });
      continue;
    }
    const names = namesIn(each);
    const isShared = new Set(Object.keys(env));
    const free = shared.find((one) =>
      names.every((name) => !one.names.has(name) || isSharedKey(name, isShared)),
    );
    const command = free ?? { names: new Set<string>(), rows: [] };
    if (free === undefined) shared.push(command);
    command.rows.push(each);
    for (const name of names) command.names.add(name);
  }
  const joined = shared.map(({ rows: those }) => ({
    argv: ["http", "redis", ...those.flatMap(({ options = [] }) => options), PRINT],
    env: Object.assign({}, ...those.map(({ env = {} }) => env)),
    rows: those,
  }));
  return [...alone, ...joined];
}

/** The key that flags need has the same value in all rows. */
const isSharedKey = (name: string, own: ReadonlySet<string>) =>
  name === "STATSIG_SERVER_SDK_KEY" && own.has(name);

describe("command lines and variables of the original proxy", () => {
  const finished = new Map<CommandRow, FinishedRun>();

  beforeAll(async () => {
    const queue = new PQueue({ concurrency: 3 });
    const run = async ({ argv, env, rows }: Command) => {
      const result = await runRelay(argv, env);
      for (const each of rows) finished.set(each, result);
    };
    await queue.addAll(toCommands(ROWS).map((command) => () => run(command)));
  }, 180_000);

  testRows(ROWS, (each) => {
    const { outcome } = each;
    const { exitCode, stdout, stderr } = finished.get(each) ?? { exitCode: -1, stdout: "", stderr: "" };
    if ("refuses" in outcome) {
      expect(stderr).toContain(outcome.refuses);
      expect(exitCode).toBe(2);
      return;
    }
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    if ("shows" in outcome) expect(stdout).toContain(outcome.shows);
    else expect(stdout.split("\n").map((line) => line.replace(/ {2}# .*/, ""))).toContain(outcome.prints);
  });
});
