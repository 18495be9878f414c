// Attacks as told and tells, as lines of JSON, when it has begun and what came of it: bun attacker-process.ts <order>
import { constants, setPriority } from "node:os";
import { type AttackOrder, runAttack } from "./attacks.ts";

const [order = ""] = process.argv.slice(2);

// An attacker has a machine of its own; here it must not take the processor from those that measure.
setPriority(constants.priority.PRIORITY_LOW);

const tell = (what: unknown): void => {
  process.stdout.write(`${JSON.stringify(what)}\n`);
};
tell(await runAttack(JSON.parse(order) as AttackOrder, () => tell("started")));
process.exit(0);
