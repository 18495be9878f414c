import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import type { SpecEvent } from "../../src/specs/events.ts";
import { formatPins, type PinEntry, parsePins } from "../../src/specs/pins/pin-document.ts";
import { digestOf, PinRecords } from "../../src/specs/pins/pin-records.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { MemoryPins } from "../support/specs/pinned-fleet.ts";
import { sdkKeyOf } from "../support/specs/snapshots.ts";

const sdkKey = sdkKeyOf("secret-pinned-0123456789");
const entry = (changedAt: number, reason = ""): PinEntry => ({
  key: "secret-pin*abcdef",
  pin: { since: 5, by: "127.0.0.1", reason, to: 3 },
  feeds: { "v2/json": { lcut: 3, checksum: "c", servedLcut: 9 } },
  changedAt,
});

function start(storage: MemoryPins) {
  const events: SpecEvent[] = [];
  const records = new PinRecords({
    ...{ storage, clock: systemClock, supervisor: strictSupervisor() },
    intervalMs: () => 1_000_000,
    emit: (event) => events.push(event),
  });
  return { records, events };
}

describe("what is stored of pins", () => {
  test("reads back as it was", () => {
    const document = new Map([["digest", entry(2, "why")]]);
    expect(parsePins(formatPins(document))).toEqual(document);
  });

  test.each(["", "null", "[]", "{}", '{"version":0,"keys":{}}', '{"version":1,"keys":[]}'])(
    "is ignored if it is something else: %p",
    (text) => expect(parsePins(text)).toBeUndefined(),
  );

  test("is an error if a later version of the relay has stored it, so that it is not replaced", () => {
    expect(() => parsePins('{"version":2,"keys":{}}')).toThrow("a later version of the relay");
  });

  test("lacks the entries that are not valid", () => {
    const [first, ...broken] = [
      entry(1),
      { ...entry(1), changedAt: -1 },
      { ...entry(1), pin: { since: "now" } },
      { ...entry(1), feeds: [] },
      null,
    ];
    const keys = Object.fromEntries([first, ...broken].map((each, at) => [String(at), each]));
    expect([...(parsePins(JSON.stringify({ version: 1, keys })) ?? [])]).toEqual([["0", entry(1)]]);
  });

  test("has the last 1,000 released keys, and all pinned ones", () => {
    const released = Array.from({ length: 1_500 }, (_, at): [string, PinEntry] => [
      `released ${at}`,
      { ...entry(1), pin: null, changedAt: at },
    ]);
    const document = parsePins(formatPins(new Map([["pinned", entry(1)], ...released])));
    expect([document?.size, document?.has("pinned")]).toEqual([1_001, true]);
    expect([document?.has("released 499"), document?.has("released 500")]).toEqual([false, true]);
  });
});

describe("relays that share pins", () => {
  test("see what another one changes, and only that is reported", async () => {
    const storage = new MemoryPins();
    await using first = start(storage).records;
    await using second = start(storage).records;
    const changed: string[] = [];
    second.listen((digests) => changed.push(...digests));
    expect(await first.change(sdkKey, () => entry(1))).toBe(true);
    for (let times = 0; times < 3; times++) await second.readAgain();
    expect(second.find(sdkKey)).toEqual(entry(1));
    expect(changed).toEqual([digestOf(sdkKey)]);
  });

  test("do not overwrite each other's changes of other keys", async () => {
    const storage = new MemoryPins();
    const relays = Array.from({ length: 4 }, () => start(storage).records);
    const keys = relays.map((_, at) => sdkKeyOf(`secret-${at}`));
    const stored = await Promise.all(
      relays.map((each, at) => each.change(keys[at] ?? sdkKey, () => entry(1, `by ${at}`))),
    );
    expect(stored).toEqual([true, true, true, true]);
    expect(parsePins(storage.text ?? "")?.size).toBe(4);
    for (const each of relays) await each[Symbol.asyncDispose]();
  });

  test("keep a change that cannot be stored, and store it later", async () => {
    const storage = new MemoryPins();
    const { records, events } = start(storage);
    await using _ = records;
    await records.readAgain();
    storage.isFailing = true;
    expect(await records.change(sdkKey, () => entry(1))).toBe(false);
    expect([records.find(sdkKey), records.isStoredOf(sdkKey)]).toEqual([entry(1), false]);
    storage.isFailing = false;
    await records.readAgain();
    expect(records.isStoredOf(sdkKey)).toBe(true);
    expect(events.map(({ kind }) => kind)).toEqual(["pins_failing", "pins_recovered"]);
  });

  test("restore what the storage lost, the newest of what any of them knows", async () => {
    const storage = new MemoryPins();
    await using first = start(storage).records;
    await using second = start(storage).records;
    await first.change(sdkKey, () => entry(1, "older"));
    await second.readAgain();
    await first.change(sdkKey, () => entry(2, "newer"));
    storage.text = undefined;
    await second.readAgain();
    expect(parsePins(storage.text ?? "")?.get(digestOf(sdkKey))?.pin?.reason).toBe("older");
    await first.readAgain();
    await second.readAgain();
    expect(second.find(sdkKey)).toEqual(entry(2, "newer"));
  });

  test("without a storage keep them in memory, and say so", async () => {
    await using records = new PinRecords({
      ...{ storage: undefined, clock: systemClock, supervisor: strictSupervisor() },
      ...{ intervalMs: () => 1_000, emit: () => {} },
    });
    expect(await records.change(sdkKey, () => entry(1))).toBe(false);
    expect([records.find(sdkKey), records.isStored]).toEqual([entry(1), false]);
  });
});
