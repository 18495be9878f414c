import { expect, test } from "bun:test";
import { threadsOf, totalOf } from "../support/profiling/decoded-profile.ts";
import { PROFILED_KEY, startProfiledRelay } from "../support/profiling/profiled-relay.ts";
import { ThreadConnection } from "../support/serving/thread-connection.ts";

const CONNECTIONS = 1_000;
const PATH = `/v2/download_config_specs/${PROFILED_KEY}.json`;

test(`profiles of a relay with ${CONNECTIONS} connections close none of them`, async () => {
  await using profiled = await startProfiledRelay();
  using opened = new DisposableStack();
  const connections: ThreadConnection[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    connections.push(opened.use(await ThreadConnection.open(profiled.relay.httpUrl)));
  }
  const askAll = async () => {
    const responses = await Promise.all(connections.map((connection) => connection.get(PATH)));
    expect(responses.filter(({ status }) => status !== 200)).toEqual([]);
  };
  await askAll();
  const whileAsking = async (path: string) => {
    let isTaken = false;
    const taken = profiled.take(path).finally(() => {
      isTaken = true;
    });
    while (!isTaken) await askAll();
    return await taken;
  };
  expect(totalOf(await whileAsking("profile?seconds=2"), "count")).toBeGreaterThan(0);
  expect(threadsOf(await whileAsking("heap"))).toEqual(expect.arrayContaining(["main", "http-1", "http-2"]));
  await askAll();
  expect(connections.filter(({ isClosed }) => isClosed)).toEqual([]);
}, 90_000);
