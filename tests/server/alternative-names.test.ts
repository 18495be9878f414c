import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readAlternativeNames } from "../../src/server/alternative-names.ts";

/** Returns a value of DER with a short or a long length. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length =
    content.length < 0x80 ? [content.length] : [0x82, Math.floor(content.length / 256), content.length % 256];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const SEQUENCE = 0x30;
const subjectAltName = der(0x06, Buffer.from("551d11", "hex"));

/** Returns as much of a certificate as is read, with the names, by their tags, as its subjectAltName. */
function certificateWith(...names: readonly (readonly [tag: number, name: string])[]): Buffer {
  const list = der(SEQUENCE, ...names.map(([tag, name]) => der(tag, Buffer.from(name))));
  const extension = der(SEQUENCE, subjectAltName, der(0x01, Buffer.of(0xff)), der(0x04, list));
  const extensions = der(0xa3, der(SEQUENCE, extension));
  return der(SEQUENCE, der(SEQUENCE, der(0x02, Buffer.of(1)), extensions), der(SEQUENCE));
}

const [EMAIL, DNS, URI] = [0x81, 0x82, 0x86];

describe("the alternative names of a certificate", () => {
  test("are its DNS names and URIs, each as a whole", () => {
    const uri = `spiffe://a/${"x".repeat(300)}, DNS:b.example`;
    const certificate = certificateWith([EMAIL, "a@b.example"], [DNS, "a.example"], [URI, uri]);
    expect(readAlternativeNames(certificate)).toEqual(["a.example", uri]);
  });

  test("are none without a length, which DER does not allow", () => {
    // Shorter than that, a value has a length of one byte.
    const content = Array.from({ length: 0x80 }, (_, at) => certificateWith([DNS, "a".repeat(at)]))
      .map((certificate) => certificate.subarray(certificate.length > 0x81 ? 4 : 2))
      .find(({ length }) => length === 0x80);
    // Read as a short length, 0x80 would be the right one.
    const endless = Buffer.concat([Buffer.of(SEQUENCE, 0x80), content ?? Buffer.alloc(0)]);
    expect(endless).toHaveLength(0x82);
    expect(readAlternativeNames(endless)).toEqual([]);
  });

  test("are no longer ones for any damage, which does not throw", () => {
    const certificate = certificateWith([DNS, "a.example"], [URI, "spiffe://a/b"]);
    const damage = fc.array(fc.tuple(fc.nat(certificate.length - 1), fc.nat(255)), { maxLength: 4 });
    const property = fc.property(damage, fc.nat(certificate.length), (bytes, end) => {
      const damaged = Buffer.from(certificate.subarray(0, end));
      for (const [at, byte] of bytes) if (at < damaged.length) damaged[at] = byte;
      for (const name of readAlternativeNames(damaged)) expect(name.length).toBeLessThan(certificate.length);
    });
    fc.assert(property, { numRuns: 2_000 });
  });
});
