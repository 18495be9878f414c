import { afterAll, beforeAll, test } from "bun:test";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { startBrowser } from "../support/common/browser.ts";
import { describeWith } from "../support/common/needs.ts";
import { startProfiledRelay } from "../support/profiling/profiled-relay.ts";

const SPEEDSCOPE = join(
  dirname(fileURLToPath(import.meta.resolve("speedscope/package.json"))),
  "dist/release",
);

/** The files that docs/profiling.md names, and rows near the top of the table: the viewers only show those that are in sight. */
const FILES = {
  "cpu.pb.gz": { order: "profile?seconds=1", shows: ["(outside JavaScript)"] },
  "heap.pb.gz": { order: "heap", shows: ["(outside JavaScript heaps)", "ModuleRecord"] },
  "cpu.cpuprofile": { order: "profile?seconds=1&format=devtools", shows: ["(outside JavaScript)"] },
  "heap.heapprofile": {
    order: "heap?format=devtools",
    shows: ["(outside JavaScript heaps)", "ModuleRecord"],
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
  }, 60_000);
  afterAll(() => owned.disposeAsync());

  function fileOf(name: FileName): ProfileFile {
    return { name, mimeType: "application/json", buffer: Buffer.from(files.get(name) ?? new ArrayBuffer(0)) };
  }

  test.each(Object.keys(FILES) as FileName[])("in speedscope: %s", async (name) => {
    const page = await browser.newPage();
    const origin = `http://127.0.0.1:${viewer.port}`;
    await page.goto(`${origin}/index.html#profileURL=${encodeURIComponent(`${origin}/${name}`)}`);
    // The table of functions; the flame graph is a picture.
    await page.getByText("Sandwich").click();
    await expectTexts(page, FILES[name].shows);
    await page.close();
  });

  test("in Chrome DevTools: CPU, in the Performance panel", async () => {
    await using devtools = await openDevtools(browser);
    const { page } = devtools;
    await load(page, { panel: "Performance", button: "Load trace…", file: fileOf("cpu.cpuprofile") });
    // Its introduction covers the panel.
    await page.keyboard.press("Escape");
    await page.getByRole("tab", { name: "Bottom-up" }).first().click();
    await expectTexts(page, ["(outside JavaScript)"]);
  });

  test("in Chrome DevTools: memory, in the Memory panel", async () => {
    await using devtools = await openDevtools(browser);
    const { page } = devtools;
    await load(page, { panel: "Memory", button: "Load profile", file: fileOf("heap.heapprofile") });
    await page.getByText(/^heap/).first().click();
    await expectTexts(page, ["(outside JavaScript heaps)"]);
  });
});

interface ProfileFile {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

async function openDevtools(browser: Browser): Promise<AsyncDisposable & { readonly page: Page }> {
  const page = await browser.newPage();
  page.setDefaultTimeout(10_000);
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
    await page.getByText(text).first().waitFor({ state: "attached", timeout: 10_000 });
}
