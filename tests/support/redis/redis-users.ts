import type { RedisOptions } from "../../../src/redis/options.ts";
import type { RedisServer } from "./redis-server.ts";

/** What the original relay sends, and what a connection and a transaction need, in the words of ACL SETUSER. */
export const ORIGINAL_COMMANDS =
  "~statsig* resetchannels -@all +get +hget +hset +expire +del +ttl +setnx +multi +exec +watch +auth +select +ping";

const PASSWORD = "limited";

/** The options of a connection by a user of its own, who may do only so much. */
export async function limitedUser(
  server: RedisServer,
  rules: string,
  user = "limited",
): Promise<RedisOptions> {
  await server.cli("ACL", "SETUSER", user, "reset", "on", `>${PASSWORD}`, ...rules.split(" "));
  return { ...server.options, user, password: PASSWORD };
}

/** The variables of a relay that connects as such a user. */
export const envOfUser = ({ address, user, password }: RedisOptions): Readonly<Record<string, string>> => {
  if (address.kind !== "single") throw new RangeError("a single Redis is meant");
  return { REDIS_URL: `redis://${user}:${password}@${address.host}:${address.port}` };
};
