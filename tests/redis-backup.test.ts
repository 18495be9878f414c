import { describe, expect, test } from "bun:test";
import type { RedisOptions } from "../src/redis/options.ts";
import { RedisBackup } from "../src/redis/redis-backup.ts";
import { describeBackup } from "./support/backup-contract.ts";
import { describeWith } from "./support/needs.ts";
import { preparedSnapshot } from "./support/prepared-snapshots.ts";
import { createRedisCertificates } from "./support/redis-certificates.ts";
import { RedisCluster } from "./support/redis-cluster.ts";
import { RedisServer } from "./support/redis-server.ts";
import { RedisUse } from "./support/redis-uses.ts";
import { feedOf } from "./support/snapshots.ts";

