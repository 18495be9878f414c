import type { RedisOptions } from "../../../src/redis/options.ts";
import type { RedisServer } from "./redis-server.ts";

/** The commands of the original relay, and those for a connection and a transaction, in the syntax of ACL SETUSER. */
export const ORIGINAL_COMMANDS =
  "~statsig* resetchannels -@all +get +hget +hset +expire +del +ttl +setnx +multi +exec +watch +auth +select +ping";

const PASSWORD = "limited";

/** Creates a user with limited permissions, and returns the options to connect as that user. */
export async function limitedUser(
  server: RedisServer,
  rules: string,
  user = "limited",
): Promise<RedisOptions> {
  await server.cli("ACL", "SETUSER", user, "reset", "on", `>${PASSWORD}`, ...rules.split(" "));
  return { ...server.options, user, password: PASSWORD };
}

/** Returns the variables of a relay that connects as such a user. */
export const envOfUser = ({ address, user, password }: RedisOptions): Readonly<Record<string, string>> => {
  if (address.kind !== "single") throw new RangeError("expected a single Redis");
  return { REDIS_URL: `redis://${user}:${password}@${address.host}:${address.port}` };
};
