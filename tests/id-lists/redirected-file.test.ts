import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";

const KEY = "secret-redirected-lists";

test("the file of an ID list is downloaded from where its URL redirects to, without an SDK key", async () => {
  await using running = new AsyncDisposableStack();
  const upstream = running.use(new IdListUpstream());
  const storage = running.use(new IdListUpstream());
  const folder = await mkdtemp(join(tmpdir(), "sfp-redirected-list-"));
  running.defer(() => rm(folder, { recursive: true }));
  for (const server of [upstream, storage]) server.put(KEY, "list", listed("acme"));
  // First to another path of its host, and from there to another host.
  upstream.fault = ({ path }) => {
    if (path.startsWith("/files/")) return Response.redirect(`${upstream.url}/moved${path}`, 301);
    return path.startsWith("/moved/")
      ? Response.redirect(`${storage.url}${path.replace("/moved", "")}`, 307)
      : undefined;
  };
  const relay = running.use(
    await startRelayProcess({
      mode: "http",
      args: ["--proxy-id-lists", "--local-cache-path", folder],
      env: { STATSIG_ENDPOINT: upstream.url },
    }),
  );
  const served = async () => {
    const manifest = await fetch(`${relay.httpUrl}/v1/get_id_lists`, {
      method: "POST",
      headers: { "statsig-api-key": KEY },
    });
    const { list } = (await manifest.json()) as { list?: { url: string } };
    return list === undefined ? undefined : (await fetch(list.url)).text();
  };
  await eventually(async () => expect(await served()).toBe(listed("acme")));
  expect(storage.requests.map(({ key }) => key)).toEqual([null]);
}, 30_000);
