// Runs an attack and prints, as lines of JSON, its start and its result: bun attacker-process.ts <order>
import { constants, setPriority } from "node:os";
import { type AttackOrder, runAttack } from "./attacks.ts";

const [order = ""] = process.argv.slice(2);

// An attacker has its own machine. Here it must not take the processor from the measurement.
setPriority(constants.priority.PRIORITY_LOW);

const tell = (what: unknown): void => {
  process.stdout.write(`${JSON.stringify(what)}\n`);
};
tell(await runAttack(JSON.parse(order) as AttackOrder, () => tell("started")));
process.exit(0);
