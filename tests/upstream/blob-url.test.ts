import { expect, test } from "bun:test";
import { signBlobPath } from "../../src/upstream/blob-url.ts";

const account = {
  account: "acct",
  accountKey: Buffer.from("a test key of the storage account").toString("base64"),
};
const blob = { container: "dcs-v1", name: "company-1/secret-key", now: 1_700_000_000_000 };
const BEGIN = "/dcs-v1/company-1/secret-key?sv=2022-11-02";
const END = "se=2023-11-14T22%3A18%3A20Z&sr=b&sp=r&sig=";

test.each([
  [true, `${BEGIN}&spr=https&${END}SMblUytXv3ECvjS%2FRw62UdvVgEgAWzNA1gy1XN7sIKc%3D`],
  [false, `${BEGIN}&spr=https%2Chttp&${END}kmijdUBi%2BI%2BLyDjLZM8%2BotWtAMV%2Ft2NZb7gfIU%2F2ZGA%3D`],
])("a blob is signed as Azure's own library for JavaScript does (https: %p)", (isHttps, path) => {
  expect(signBlobPath(account, { ...blob, isHttps })).toBe(path);
});

test("each part of a name is percent-encoded, and signed as it is", () => {
  const path = signBlobPath(account, { ...blob, isHttps: true, name: "a b?/c#" });
  expect(path).toStartWith("/dcs-v1/a%20b%3F/c%23?");
});
