import { expect, test } from "bun:test";
import { expectProblem, problemsOf } from "../support/relay/doctor.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-two-endpoints";

test("doctor checks each endpoint of STATSIG_ENDPOINT, and whether it has the preloaded keys", async () => {
  await using preferred = await startUpstream();
  await using other = await startUpstream();
  publishKey(preferred, KEY);
  const args = ["--preload-sdk-keys", KEY];
  const check = (...more: readonly string[]) =>
    problemsOf(preferred, args, { STATSIG_ENDPOINT: [preferred.url, other.url, ...more].join(", ") });

  await expectProblem(
    check(),
    "SDK keys",
    new RegExp(`^${other.url} has no config specs of secret-of`),
    /while the first endpoint fails, these keys are not updated/,
  );
  publishKey(other, KEY);
  expect(await check()).toEqual([]);
  await expectProblem(
    check("http://none.invalid:8000"),
    "DNS",
    /none\.invalid does not resolve/,
    /STATSIG_ENDPOINT/,
  );
  await other.stop();
  await expectProblem(
    check(),
    "upstream",
    new RegExp(`^${other.url} is unreachable`),
    /correct STATSIG_ENDPOINT/,
  );
}, 60_000);
