import { expect, test } from "bun:test";
import { toThreadProfile } from "../../src/platform/profiling/v8-profile.ts";

const MODULE = new URL("../../src/specs/store.ts", import.meta.url).href;

const frame = (functionName: string, url = "", lineNumber = -1) => ({
  ...{ functionName, url, lineNumber, scriptId: "0", columnNumber: lineNumber },
});

/** As V8 returns it, and JavaScriptCore without the samples of a thread that waits. */
const PROFILE = {
  nodes: [
    { id: 1, callFrame: frame("(root)"), children: [2, 5, 6] },
    { id: 2, callFrame: frame("put", MODULE, 9), children: [3, 4] },
    {
      id: 3,
      callFrame: frame("", "/home/someone/else.ts", 4),
      positionTicks: [
        { line: 6, ticks: 1 },
        { line: 7, ticks: 2 },
      ],
    },
    { id: 4, callFrame: frame("set", "file:///a/node_modules/lru-cache/index.js", 0) },
    { id: 5, callFrame: frame("(idle)") },
    { id: 6, callFrame: frame("(program)") },
  ],
  startTime: 1_000,
  samples: [3, 5, 3, 6, 4, 3],
  timeDeltas: [100, 200, 300, 400, 500, 600],
};

test("a profile of V8 becomes stacks with names, paths without those of the machine, and the line of most samples", () => {
  const { nodes } = toThreadProfile("main", PROFILE);
  const shown = nodes.map(({ frame: { name, file, line }, parent, count, hotLine }) => {
    return [name, file, line, nodes[parent]?.frame.name, count, hotLine];
  });
  expect(shown.toSorted()).toEqual([
    ["(anonymous)", "else.ts", 5, "put", 3, 7],
    ["put", "src/specs/store.ts", 10, undefined, 0, undefined],
    ["set", "node_modules/lru-cache/index.js", 1, "put", 1, undefined],
  ]);
});

test("the samples of a thread that waits or runs no JavaScript are left out, and the others keep their times", () => {
  const { nodes, timeline } = toThreadProfile("main", PROFILE);
  expect(timeline?.nodes.map((at) => nodes[at]?.frame.name)).toEqual([
    "(anonymous)",
    "(anonymous)",
    "set",
    "(anonymous)",
  ]);
  expect(timeline?.atUs).toEqual([100, 600, 1_500, 2_100]);
});
