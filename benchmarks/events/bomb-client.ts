// Posts one body repeatedly, in bursts of concurrent requests. Reports when it begins, and the statuses at the end. With a
// pause of 0 ms each connection sends its next request as soon as it has a response.
//   bun bomb-client.ts <url> <name of the bomb> <encoding> <concurrency> <pause between bursts, ms> <duration, ms>
import { constants, setPriority } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { bombHeaders, findBomb } from "../../tests/support/log-events/event-bombs.ts";
import type { Bombing } from "./bombing.ts";

const [url = "", name = "", coding = "", atOnce = "1", pauseMs = "0", durationMs = "0"] =
  process.argv.slice(2);
// A real attacker has its own machine. Here it must not take CPU from the measuring processes.
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
