import { expect, test } from "bun:test";
import { defaultLocalCachePath } from "../../src/sqlite/path.ts";

test.each([
  ["systemd's own folder first", { STATE_DIRECTORY: "/s/a", INVOCATION_ID: "1", HOME: "/h" }, "/s/a"],
  ["the first of several", { STATE_DIRECTORY: "/s/a:/s/b" }, "/s/a"],
  ["a service", { INVOCATION_ID: "1", XDG_STATE_HOME: "/x", HOME: "/h" }, "/var/lib/statsig-forward-proxy"],
  ["XDG", { XDG_STATE_HOME: "/x", HOME: "/h" }, "/x/statsig-forward-proxy"],
  ["XDG, but relative", { XDG_STATE_HOME: "x", HOME: "/h" }, "/h/.local/state/statsig-forward-proxy"],
  ["nothing but a home", { HOME: "/h" }, "/h/.local/state/statsig-forward-proxy"],
  ["empty variables", { STATE_DIRECTORY: "", INVOCATION_ID: "", XDG_STATE_HOME: "", HOME: "" }, undefined],
  ["no variables", {}, undefined],
])("%s", (_, variables, expected = "/var/lib/statsig-forward-proxy") => {
  expect(defaultLocalCachePath(variables)).toBe(expected);
});
