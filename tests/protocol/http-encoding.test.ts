import { beforeAll, describe, expect, test } from "bun:test";
import { textOf } from "../support/clients/raw-get.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";

const shared = shareRelay();
let key: PublishedKey;
beforeAll(() => {
  key = publishKey(shared.upstream, "secret-encoding");
});

const ask = (acceptEncodings: readonly string[], query = "") =>
  rawHttp(`${shared.relay.httpUrl}/v2/download_config_specs/${key.sdkKey}.json${query}`, {
    headers: acceptEncodings.map((value) => ["Accept-Encoding", value] as const),
  });

describe("Config specs over HTTP: Accept-Encoding is honored strictly", () => {
  test("without the header: identity", async () => {
    const response = await ask([]);
    expect(response.headers["content-encoding"]).toBeUndefined();
    expect(response.body.toString()).toBe(key.v2);
  });

  const rows = [
    { offered: "", coding: "identity" },
    { offered: "identity", coding: "identity" },
    { offered: "gzip", coding: "gzip" },
    { offered: "br", coding: "br" },
    { offered: "zstd", coding: "zstd" },
    { offered: "gzip,deflate", coding: "gzip" },
    { offered: "GZip", coding: "gzip" },
    // The relay has no deflate, and clients must not get a coding that they cannot decode.
    { offered: "deflate", coding: "identity" },
    { offered: "compress, snappy", coding: "identity" },
    { offered: "gzipped", coding: "identity" },
    { offered: "x", coding: "identity" },
    { offered: "gzip;q=0", coding: "identity" },
    { offered: "gzip;q=0.000, br;q=0, zstd;q=0", coding: "identity" },
    { offered: "gzip;q=0, br", coding: "br" },
    { offered: "gzip;q=0.9, br;q=0.1, zstd;q=0.2", coding: "gzip" },
    { offered: "gzip;q=0.1, br;q=0.9", coding: "br" },
    { offered: "gzip ; q=0.1 , br ; q=0.9", coding: "br" },
    { offered: "identity, gzip;q=0.5", coding: "identity" },
    { offered: "identity;q=0.5, gzip;q=0.8", coding: "gzip" },
    { offered: "identity;q=0, gzip", coding: "gzip" },
    { offered: "*;q=0, gzip", coding: "gzip" },
    { offered: "gzip;q=0, br;q=0, *", coding: "zstd" },
  ];

  test.each(rows)('"$offered" gives $coding', async ({ offered, coding }) => {
    const response = await ask([offered]);
    expect(response.status).toBe(200);
    expect(response.headers["content-encoding"] ?? "identity").toBe(coding);
    expect(textOf(response)).toBe(key.v2);
  });

  test("two header lines count as one", async () => {
    expect((await ask(["identity;q=0.1", "br"])).headers["content-encoding"]).toBe("br");
    expect((await ask(["gzip;q=0.5", "br;q=0"])).headers["content-encoding"]).toBe("gzip");
  });

  test.each(["identity;q=0", "*;q=0", "identity;q=0, deflate"])(
    '"%s" cannot be served: 406',
    async (offered) => {
      const response = await ask([offered]);
      expect(response.status).toBe(406);
      const body: unknown = JSON.parse(response.body.toString());
      expect(body).toMatchObject({ code: 406, reason: "Not Acceptable" });
    },
  );

  test("statsig-br is for protobuf only: JSON is never sent in it", async () => {
    for (const offered of ["statsig-br", "statsig-br, gzip", "statsig-br;q=1, gzip;q=0.1"]) {
      const response = await ask([offered], "?supports_proto=false");
      expect(response.headers["content-type"]).toBe("application/json");
      expect(response.headers["content-encoding"] ?? "identity").not.toBe("statsig-br");
      expect(textOf(response)).toBe(key.v2);
    }
  });

  test("each header is parsed for itself, however many different ones came before", async () => {
    for (let number = 0; number < 300; number++) await ask([`gzip;q=0.${String(number).padStart(3, "0")}`]);
    expect((await ask(["gzip;q=0"])).headers["content-encoding"]).toBeUndefined();
    expect((await ask(["gzip"])).headers["content-encoding"]).toBe("gzip");
  });
});
