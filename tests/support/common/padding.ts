import { entity, everyone, type SpecV1, type SpecV2 } from "../upstream/payloads.ts";

/** mulberry32: the same seed gives the same text on every machine. */
function randomHex(seed: number, length: number): string {
  let state = seed >>> 0;
  let text = "";
  while (text.length < length) {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    text += ((mixed ^ (mixed >>> 14)) >>> 0).toString(16).padStart(8, "0");
  }
  return text.slice(0, length);
}

const nameOf = (index: number): string => `filler_${String(index).padStart(6, "0")}`;

/** A list of user IDs, which make up most of a real project and do not compress well. */
const condition = (index: number) => ({
  ...everyone,
  type: "user_field",
  field: "userID",
  operator: "any",
  targetValue: Array.from({ length: 24 }, (_, user) => randomHex(index * 1_000 + user, 20)),
});

const filler = (index: number, conditions: readonly unknown[]) =>
  entity({
    name: nameOf(index),
    type: "feature_gate",
    returnValue: true,
    defaultValue: false,
    passPercentage: 100,
    conditions,
    salt: randomHex(index, 32),
  });

const isV1 = (spec: SpecV1 | SpecV2): spec is SpecV1 => Array.isArray(spec.feature_gates);

const add = (spec: SpecV1 | SpecV2, from: number, to: number): void => {
  for (let index = from; index < to; index++) {
    const name = nameOf(index);
    if (isV1(spec)) {
      spec.feature_gates.push(filler(index, [condition(index)]));
    } else {
      spec.feature_gates[name] = filler(index, [name]);
      spec.condition_map[name] = condition(index);
    }
  }
};

const sizeOf = (spec: object): number => Buffer.byteLength(JSON.stringify(spec));

/** Returns a copy with generated gates whose JSON is exactly `bytes` long. It compresses about as well as a real project. */
export function padTo<S extends SpecV1 | SpecV2>(spec: S, bytes: number): S {
  const padded = structuredClone(spec);
  const emptyBytes = sizeOf(padded);
  if (emptyBytes > bytes) throw new RangeError(`the payload is ${emptyBytes} bytes long, more than ${bytes}`);
  const sample = structuredClone(spec);
  add(sample, 0, 1);
  add(padded, 0, Math.floor((bytes - emptyBytes) / (sizeOf(sample) - emptyBytes)));
  padded.company_id += randomHex(bytes, bytes - sizeOf(padded));
  return padded;
}
