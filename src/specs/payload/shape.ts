import type { ApiVersion } from "../feed.ts";
import { forEachMember, OPEN_ARRAY, OPEN_OBJECT } from "./json.ts";

/** Lists of entities: arrays in v1, objects by name in v2 (docs/protocol.md, Config specs). */
const ENTITIES: ReadonlySet<string> = new Set(["feature_gates", "dynamic_configs", "layer_configs"]);

/** Returns the API version that a JSON config spec is for; undefined if its members do not show it. `text` is a JSON object. */
export function findShape(text: Uint8Array): ApiVersion | undefined {
  const found = new Set<ApiVersion>();
  forEachMember(text, ({ name: [start, end], value: [valueAt] }) => {
    if (!ENTITIES.has(new TextDecoder().decode(text.subarray(start + 1, end - 1)))) return;
    if (text[valueAt] === OPEN_ARRAY) found.add("v1");
    if (text[valueAt] === OPEN_OBJECT) found.add("v2");
  });
  const [version, other] = [...found];
  return other === undefined ? version : undefined;
}
