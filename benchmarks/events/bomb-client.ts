// Posts one body again and again, so many at once in each burst, and says at the end what was answered. It says at first
// when it begins. With a pause of 0 ms each connection sends the next as soon as the last is answered:
//   bun bomb-client.ts <url> <name of the bomb> <its coding> <at once> <pause between bursts, ms> <ms>
import { constants, setPriority } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { bombHeaders, findBomb } from "../../tests/support/log-events/event-bombs.ts";
import type { Bombing } from "./bombing.ts";

const [url = "", name = "", coding = "", atOnce = "1", pauseMs = "0", durationMs = "0"] =
  process.argv.slice(2);
// It has a machine of its own; here it must not take the processor from those that measure.
setPriority(constants.priority.PRIORITY_LOW);

const bomb = findBomb(name, coding);
const headers = { ...bombHeaders(bomb), "statsig-api-key": "secret-bench-bombs" };
const answers = new Map<number, number>();
console.log(JSON.stringify("started"));
const endAt = performance.now() + Number(durationMs);
const burst = () => Promise.all(Array.from({ length: Number(atOnce) }, Number(pauseMs) > 0 ? post : run));
do {
  await burst();
  await sleep(Number(pauseMs));
} while (performance.now() < endAt);
const bombing: Bombing = { bodyBytes: bomb.body.length, answers: [...answers] };
console.log(JSON.stringify(bombing));

async function run(): Promise<void> {
  while (performance.now() < endAt) await post();
}

async function post(): Promise<void> {
  const answer = await fetch(`${url}/v1/log_event`, { method: "POST", body: bomb.body, headers });
  await answer.arrayBuffer();
  answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1);
}
