import { expect, test } from "bun:test";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { OpenedPage, startBrowser } from "../support/common/browser.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { specsOf } from "../support/relay/access.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";

const KEY = "secret-offline-page";
const LOOK = { name: "phone", width: 360, height: 740, colorScheme: "dark" } as const;

describeWith("chromium")("the status page", () => {
  test("shows that a relay is offline, and which file it cannot serve", async () => {
    using folder = new SpecFolder();
    folder.write("specs.json", specV2({ lcut: 1_700_000_000_000, sdkKey: KEY }));
    await using managed = await startManagedRelay({ args: ["--offline", "--bootstrap-path", folder.path] });
    await specsOf(managed.relay, KEY);
    await using browser = await startBrowser();
    await using opened = await OpenedPage.open(browser, managed.url, LOOK);
    const shows = (...texts: readonly string[]) =>
      eventually(
        async () => {
          const text = await opened.text();
          for (const each of texts) expect(text).toContain(each);
        },
        { withinMs: 15_000 },
      );
    await shows("Healthy", "Offline: 1 feed served from files", "serving files", folder.path);
    folder.write("bad.json", "Unauthorized");
    await shows("1 file in --bootstrap-path cannot be served", "bad.json", "1 unusable");
    expect(await opened.overflow()).toBe(0);
    expect(opened.errors).toEqual([]);
    await opened.shoot("offline");
  });
});
