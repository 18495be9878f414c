import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type * as bunAbout from "../../src/platform/runtime/bun/about.ts";
import type * as bunDecoding from "../../src/platform/runtime/bun/decoding.ts";
import type * as bunDescriptors from "../../src/platform/runtime/bun/descriptors.ts";
import type * as bunHttp2 from "../../src/platform/runtime/bun/http2.ts";
import type * as bunNative from "../../src/platform/runtime/bun/native.ts";
import type * as bunRequests from "../../src/platform/runtime/bun/requests.ts";
import type * as bunTcp from "../../src/platform/runtime/bun/tcp.ts";
import type * as bunThreads from "../../src/platform/runtime/bun/threads.ts";
import type * as denoAbout from "../../src/platform/runtime/deno/about.ts";
import type * as denoDecoding from "../../src/platform/runtime/deno/decoding.ts";
import type * as denoDescriptors from "../../src/platform/runtime/deno/descriptors.ts";
import type * as denoHttp2 from "../../src/platform/runtime/deno/http2.ts";
import type * as denoNative from "../../src/platform/runtime/deno/native.ts";
import type * as denoRequests from "../../src/platform/runtime/deno/requests.ts";
import type * as denoTcp from "../../src/platform/runtime/deno/tcp.ts";
import type * as denoThreads from "../../src/platform/runtime/deno/threads.ts";

/** Does not compile unless the file of Deno can stand in for that of Bun. */
type StandIn<Bun, Deno extends Bun> = [Bun, Deno];

/** Each file of a runtime. The test fails if one is missing here. */
interface Files {
  "about.ts": StandIn<typeof bunAbout, typeof denoAbout>;
  "decoding.ts": StandIn<typeof bunDecoding, typeof denoDecoding>;
  "descriptors.ts": StandIn<typeof bunDescriptors, typeof denoDescriptors>;
  "http2.ts": StandIn<typeof bunHttp2, typeof denoHttp2>;
  "native.ts": StandIn<typeof bunNative, typeof denoNative>;
  "requests.ts": StandIn<typeof bunRequests, typeof denoRequests>;
  "tcp.ts": StandIn<typeof bunTcp, typeof denoTcp>;
  "threads.ts": StandIn<typeof bunThreads, typeof denoThreads>;
}

const COMPARED: Readonly<Record<keyof Files, true>> = {
  "about.ts": true,
  "decoding.ts": true,
  "descriptors.ts": true,
  "http2.ts": true,
  "native.ts": true,
  "requests.ts": true,
  "tcp.ts": true,
  "threads.ts": true,
};

const root = join(import.meta.dir, "..", "..");
const filesOf = (runtime: string) =>
  readdirSync(join(root, "src/platform/runtime", runtime))
    .filter((name) => !name.endsWith(".d.ts"))
    .sort();

test("each runtime has the same files, and their types are compared", () => {
  expect(filesOf("bun")).toEqual(Object.keys(COMPARED).sort());
  expect(filesOf("deno")).toEqual(filesOf("bun"));
});

test("package.json and deno.json name the folder of each runtime", () => {
  const readJson = (name: string) => JSON.parse(readFileSync(join(root, name), "utf8"));
  expect(readJson("package.json").imports).toEqual({ "#runtime/*": "./src/platform/runtime/bun/*" });
  expect(readJson("deno.json").imports).toEqual({ "#runtime/": "./src/platform/runtime/deno/" });
});
