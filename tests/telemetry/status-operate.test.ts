import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { type Look, OpenedPage, startBrowser } from "../support/common/browser.ts";
import { faintTexts } from "../support/common/contrast.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { OperatorStub } from "../support/telemetry/operator-stub.ts";
import { masked } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";
const TOKEN = "token-for-operators-0123456789";
const PATIENCE = { withinMs: 30_000, everyMs: 100 };

const LOOKS: readonly Look[] = [
  { name: "desk-light", width: 1280, height: 800, colorScheme: "light" },
  { name: "phone-dark", width: 375, height: 667, colorScheme: "dark" },
];

describeWith("chromium")("what operators do on the status page", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  /** Opens the page of a relay that holds one SDK key, and the dialog of that key. */
  const openDialog = async (look: Look, withStub = true) => {
    await using stack = new AsyncDisposableStack();
    const upstream = stack.use(await startUpstream());
    publishKey(upstream, KEY);
    const env = { SFP_MANAGEMENT_TOKEN: TOKEN };
    const managed = stack.use(await startManagedRelay({ upstream, env }));
    await ask(managed.relay, KEY);
    const opened = stack.use(await OpenedPage.open(browser, managed.url, look));
    const { page } = opened;
    const stub = withStub ? await OperatorStub.install(page, TOKEN, masked(KEY)) : undefined;
    await page.getByRole("button", { name: `Manage ${masked(KEY)}` }).click();
    const owned = stack.move();
    return {
      opened,
      page,
      stub: stub as OperatorStub,
      managed,
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  };

  const shows = (opened: OpenedPage, expected: string | RegExp) =>
    eventually(async () => expect(await opened.text("dialog")).toMatch(expected), PATIENCE);

  test.each(LOOKS)(
    "roll back: token, versions, diff, confirmation, and release, on $name",
    async (look) => {
      await using at = await openDialog(look);
      const { opened, page, stub } = at;
      await page.getByLabel(/Token of this relay/).fill("a-wrong-token-of-some-length");
      await page.getByRole("button", { name: "Use token" }).click();
      await shows(opened, /Authorization: Bearer/);
      await page.getByLabel(/Token of this relay/).fill(TOKEN);
      await page.getByLabel(/Token of this relay/).press("Enter");
      await shows(opened, /Not pinned/);
      await shows(
        opened,
        /2000, changed 1 Jan 1970, 00:00:02 UTC · v2 json · received .*UTC · 1\.2 kB · served/,
      );
      await page.getByRole("button", { name: "Roll back to it" }).click();
      await shows(opened, /From version 2000 to 1000/);
      await shows(opened, /gates changed: checkout <b> and 6 more/);
      await shows(opened, /gates removed: old_gate/);
      expect(await faintTexts(page, 4.5)).toEqual([]);
      expect(await opened.overflow()).toBe(0);
      await opened.shoot("9-roll-back");
      // Until now nothing was changed.
      const changes = () =>
        stub.calls.filter(({ method, body }) => method === "POST" && body?.["dry_run"] !== true);
      expect(changes()).toEqual([]);
      await page.getByLabel(/Reason/).fill("checkout broke");
      await page.getByRole("button", { name: `Roll back ${masked(KEY)}` }).click();
      await shows(opened, /Rolled back\./);
      await shows(
        opened,
        /Pinned to version 1000 since .* by 10\.0\.0\.7; “checkout <i>broke<\/i>”; 2 newer versions held back\./,
      );
      expect(changes()).toMatchObject([
        {
          path: "/v1/rollback",
          token: TOKEN,
          body: { key: masked(KEY), to: 1_000, reason: "checkout broke" },
        },
      ]);
      await opened.shoot("10-pinned");
      await page.getByRole("button", { name: "Release" }).click();
      await shows(opened, /The newest version of upstream is served at once\./);
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("button", { name: "Release" }).click();
      await page.getByRole("button", { name: `Release ${masked(KEY)}` }).click();
      await shows(opened, /Released\./);
      expect(changes().map(({ path }) => path)).toEqual(["/v1/rollback", "/v1/unpin"]);
      expect(await page.locator("dialog i, dialog b").count()).toBe(0);
      // The browser logs the 401 of the wrong token.
      expect(opened.errors.filter((text) => !text.includes("401"))).toEqual([]);
    },
    120_000,
  );

  test("poll now, a refusal, and another dialog without asking for the token again", async () => {
    await using at = await openDialog(LOOKS[0] as Look);
    const { opened, page, stub } = at;
    await page.getByLabel(/Token of this relay/).fill(TOKEN);
    await page.getByRole("button", { name: "Use token" }).click();
    await page.getByRole("button", { name: "Poll now" }).click();
    await shows(opened, /2 feeds polled by all relays of the fleet: 1 updated, 1 unchanged, 0 failed\./);
    stub.refusal = { status: 409, message: "The pin is set by --pin: remove it there." };
    await page.getByRole("button", { name: "Pin what is served" }).click();
    await shows(opened, /The pin is set by --pin: remove it there\./);
    await page.getByRole("button", { name: "Close" }).click();
    expect(await page.locator("dialog").isVisible()).toBe(false);
    await page.getByRole("button", { name: `Manage ${masked(KEY)}` }).click();
    await shows(opened, /Versions that this relay keeps/);
    // It is in no storage, and gone after a reload.
    const stored =
      "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])";
    expect(await page.evaluate<string>(stored)).not.toContain(TOKEN);
    await page.reload();
    await page.getByRole("button", { name: `Manage ${masked(KEY)}` }).click();
    await shows(opened, /Token of this relay/);
  }, 120_000);

  test("a relay without a token, or that is gone, is named as the cause", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream });
    await ask(managed.relay, KEY);
    await using opened = await OpenedPage.open(browser, managed.url, LOOKS[0] as Look);
    const { page } = opened;
    await page.getByRole("button", { name: `Manage ${masked(KEY)}` }).click();
    await page.getByLabel(/Token of this relay/).fill(TOKEN);
    await page.getByRole("button", { name: "Use token" }).click();
    await shows(opened, /The operator API is turned off: set SFP_MANAGEMENT_TOKEN/);
    await managed.relay.kill();
    await page.getByRole("button", { name: "Poll now" }).click();
    await shows(opened, /The relay cannot be reached\./);
  }, 120_000);
});
