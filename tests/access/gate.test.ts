import { expect, test } from "bun:test";
import { KeyAdmission, KeyGate } from "../../src/access/admission.ts";
import { AllowList } from "../../src/access/allow-list.ts";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { FakeClock, settle } from "../support/common/fake-clock.ts";
import { sdkKeyOf } from "../support/specs/snapshots.ts";

/** A gate whose only token is used, with a backup that responds when the test says so. */
async function exhausted() {
  const clock = new FakeClock();
  const allowList = new AllowList(undefined);
  const admission = new KeyAdmission({ allowList, maxKeys: 1, unknownKeysPerS: 1, clock });
  const held = new Set<SdkKey>();
  admission.knownBy((sdkKey) => held.has(sdkKey));
  const refused: string[] = [];
  const emit = (event: { kind: string; reason?: string }) => refused.push(String(event.reason));
  const gate = new KeyGate({ admission, clock, emit });
  expect(await gate.refusal(sdkKeyOf("secret-first"))).toBeUndefined();
  const answers: ((found: boolean) => void)[] = [];
  const ask = (sdkKey: SdkKey) =>
    gate.refusal(sdkKey, async () => {
      const found = await new Promise<boolean>((resolve) => answers.push(resolve));
      if (found) held.add(sdkKey);
    });
  return { clock, gate, refused, answers, ask };
}

const keys = (count: number) => Array.from({ length: count }, (_, index) => sdkKeyOf(`secret-${index}`));

test("looks unknown keys up in the backup, at most 16 concurrently with 1,000 waiting", async () => {
  const { refused, answers, ask, clock } = await exhausted();
  const asked = keys(1_516).map(ask);
  await settle();
  expect(answers).toHaveLength(16);
  expect(refused).toHaveLength(500);
  for (let at = 0; at < 1_016; at++) {
    answers[at]?.(at % 2 === 0);
    await Promise.resolve();
    if (answers.length <= at + 1) await settle(1);
  }
  const outcomes = await Promise.all(asked);
  expect(outcomes.slice(0, 1_016).map((outcome) => outcome === undefined)).toEqual(
    Array.from({ length: 1_016 }, (_, at) => at % 2 === 0),
  );
  expect(new Set(outcomes.slice(1_016).map((outcome) => outcome?.kind))).toEqual(new Set(["throttled"]));
  expect(clock.sleeping).toBe(0);
});

test("a hanging backup makes no request wait for more than 3 s", async () => {
  const { clock, ask, refused } = await exhausted();
  const asked = keys(100).map(ask);
  await clock.advance(2_999);
  expect(refused).toEqual([]);
  await clock.advance(1);
  expect((await Promise.all(asked)).every((outcome) => outcome?.kind === "throttled")).toBe(true);
  expect(refused).toEqual(Array.from({ length: 100 }, () => "throttled"));
});

test("does not look up a key that was cached while waiting", async () => {
  const { answers, ask } = await exhausted();
  const sdkKey = sdkKeyOf("secret-many");
  const asked = Array.from({ length: 100 }, () => ask(sdkKey));
  await settle();
  for (const answer of answers) answer(true);
  expect((await Promise.all(asked)).every((outcome) => outcome === undefined)).toBe(true);
  expect(answers).toHaveLength(16);
});
