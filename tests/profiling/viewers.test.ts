import { afterAll, beforeAll, test } from "bun:test";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { startBrowser } from "../support/common/browser.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { decodePprof } from "../support/profiling/decoded-profile.ts";
import { startProfiledRelay } from "../support/profiling/profiled-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";

const SPEEDSCOPE = join(
  dirname(fileURLToPath(import.meta.resolve("speedscope/package.json"))),
  "dist/release",
);

type Shows = (file: ArrayBuffer) => readonly string[];

/** The function with the most time of its own, which is the first row of the table. Which one that is depends on the machine. */
const topOfPprof: Shows = (file) => {
  const samples = decodePprof(new Uint8Array(file)).samples;
  return [topOf(samples.map(({ stack, value }) => [stack[0]?.name ?? "?", value] as const))];
};

const topOfCpuProfile: Shows = (file) => {
  const { nodes, samples, timeDeltas } = JSON.parse(Buffer.from(file).toString()) as CpuProfile;
  const names = new Map(nodes.map(({ id, callFrame }) => [id, callFrame.functionName]));
  const times = samples.map((id, at) => [names.get(id) ?? "?", timeDeltas[at + 1] ?? 0] as const);
  return [topOf(times.filter(([name]) => name !== "(idle)"))];
};

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

function topOf(times: readonly (readonly [name: string, time: number])[]): string {
  const sums = new Map<string, number>();
  for (const [name, time] of times) sums.set(name, (sums.get(name) ?? 0) + time);
  const [top] = [...sums].toSorted(([, one], [, other]) => other - one);
  if (top === undefined) throw new Error("the profile has no samples");
  return top[0];
}

/** JavaScriptCore has a record for each module. */
const ofHeap: Shows = () => ["(outside JavaScript heaps)", ...(isOnDeno ? [] : ["ModuleRecord"])];

/** The files that docs/profiling.md names, and rows near the top of the table: the viewers only show those that are in sight. */
const FILES = {
  "cpu.pb.gz": { order: "profile?seconds=1", shows: topOfPprof },
  "heap.pb.gz": { order: "heap", shows: ofHeap },
  "cpu.cpuprofile": { order: "profile?seconds=1&format=devtools", shows: topOfCpuProfile },
  "heap.heapprofile": {
    order: "heap?format=devtools",
    shows: ofHeap,
  },
} as const;

type FileName = keyof typeof FILES;

describeWith("chromium")("a profile opens", () => {
  const owned = new AsyncDisposableStack();
  let browser: Browser;
  const files = new Map<string, ArrayBuffer>();
  let viewer: { readonly port: number };
  beforeAll(async () => {
    browser = owned.use(await startBrowser());
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => {
        const { pathname } = new URL(url);
        return new Response(files.get(pathname.slice(1)) ?? Bun.file(join(SPEEDSCOPE, pathname)));
      },
    });
    owned.defer(() => server.stop(true));
    viewer = { port: server.port ?? 0 };
    await using profiled = await startProfiledRelay();
    await using _load = await profiled.load();
    for (const name of Object.keys(FILES) as FileName[]) {
      const response = await profiled.order(FILES[name].order);
      files.set(name, await response.arrayBuffer());
    }
  }, 120_000);
  afterAll(() => owned.disposeAsync());

  function fileOf(name: FileName): ProfileFile {
    return { name, mimeType: "application/json", buffer: Buffer.from(files.get(name) ?? new ArrayBuffer(0)) };
  }

  test.each(Object.keys(FILES) as FileName[])(
    "in speedscope: %s",
    async (name) => {
      const page = await browser.newPage();
      const origin = `http://127.0.0.1:${viewer.port}`;
      await page.goto(`${origin}/index.html#profileURL=${encodeURIComponent(`${origin}/${name}`)}`);
      // The table of functions; the flame graph is a picture.
      await page.getByText("Sandwich").click();
      await expectTexts(page, FILES[name].shows(files.get(name) ?? new ArrayBuffer(0)));
      await page.close();
    },
    90_000,
  );

  test("in Chrome DevTools: CPU, in the Performance panel", async () => {
    await using devtools = await openDevtools(browser);
    const { page } = devtools;
    await load(page, { panel: "Performance", button: "Load trace…", file: fileOf("cpu.cpuprofile") });
    const tab = page.getByRole("tab", { name: "Call tree" }).first();
    await eventually(
      async () => {
        try {
          await tab.click({ timeout: 1_000 });
        } catch (error) {
          // An introduction covers the panel, sooner or later. Without it, this key shows a drawer, and hides it at the next try.
          await page.keyboard.press("Escape");
          throw error;
        }
      },
      { withinMs: 40_000 },
    );
    // What is outside JavaScript has no time, and no row, if the threads wait for a CPU.
    await expectTexts(page, ["thread http-1", "thread main"]);
  }, 120_000);

  test("in Chrome DevTools: memory, in the Memory panel", async () => {
    await using devtools = await openDevtools(browser);
    const { page } = devtools;
    await load(page, { panel: "Memory", button: "Load profile", file: fileOf("heap.heapprofile") });
    await page.getByText(/^heap/).first().click();
    await expectTexts(page, ["(outside JavaScript heaps)"]);
  }, 90_000);
});

interface ProfileFile {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

async function openDevtools(browser: Browser): Promise<AsyncDisposable & { readonly page: Page }> {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  await page.goto("devtools://devtools/bundled/devtools_app.html");
  return { page, [Symbol.asyncDispose]: () => page.close() };
}

async function load(
  page: Page,
  { panel, button, file }: { readonly panel: string; readonly button: string; readonly file: ProfileFile },
): Promise<void> {
  await page.getByRole("tab", { name: panel, exact: true }).click();
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: button }).first().click();
  await (await chooser).setFiles(file);
}

async function expectTexts(page: Page, texts: readonly string[]): Promise<void> {
  for (const text of texts)
    await page.getByText(text).first().waitFor({ state: "attached", timeout: 20_000 });
}
