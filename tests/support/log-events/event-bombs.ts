import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";

/** A body, usually of a few KB, that takes hundreds of megabytes in a naive reader. */
export interface EventBomb {
  readonly name: string;
  /** The Content-Encoding; empty if there is none. */
  readonly coding: string;
  readonly body: Uint8Array<ArrayBuffer>;
  /** The expected status of the response. */
  readonly status: 202 | 400 | 413;
}

const MIB = 1024 * 1024;
/** The default of `--max-request-body-in-mb`. */
const MAX_BODY_BYTES = 5 * MIB;
/** The default of `--max-events-per-request`. */
export const MAX_EVENTS = 20_000;

const encoders = {
  gzip: (text: string | Buffer) => gzipSync(text, { level: 9 }),
  zstd: (text: string | Buffer) => zstdCompressSync(text),
  br: (text: string | Buffer) => brotliCompressSync(text, { params: { 1: 5 } }),
  deflate: (text: string | Buffer) => deflateSync(text),
} as const;

type Coding = keyof typeof encoders;

function bomb(
  name: string,
  status: EventBomb["status"],
  text: string | Buffer,
  coding: Coding = "gzip",
): EventBomb {
  return { name, coding, body: new Uint8Array(encoders[coding](text)), status };
}

/** Returns a bomb with this body, which is not encoded again. */
const asIs = (name: string, status: EventBomb["status"], coding: string, body: Buffer): EventBomb => ({
  name,
  coding,
  body: new Uint8Array(body),
  status,
});

/** Repeats `part` up to the limit of a decompressed body, less the text around it. */
const fill = (part: string) => part.repeat(Math.floor((MAX_BODY_BYTES - 200) / part.length));
const listOf = (element: string) => `[${fill(`${element},`)}${element}]`;
const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const exposure = (customIDs: string) =>
  `{"events":[{"eventName":"statsig::gate_exposure","time":1,"metadata":{"gate":"g"},"user":{"customIDs":${customIDs}}}]}`;
const withMetadata = (bytes: number) =>
  Buffer.from(`{"events":[1],"statsigMetadata":"${"x".repeat(bytes - 2)}"}`);

const OBJECTS = listOf("{}");
const OF_TOO_MANY = `{"events":${OBJECTS}}`;
const ONE_MEMBER = gzipSync('{"events":[{}]}');

/** Bodies with more events than a request may have. */
const TOO_MANY: readonly EventBomb[] = [
  ...(Object.keys(encoders) as Coding[]).map((coding) =>
    bomb("1.7 million empty events", 413, OF_TOO_MANY, coding),
  ),
  bomb("a million times null", 413, `{"events":${listOf("null")}}`),
  bomb("2.6 million times 1", 413, `{"events":${listOf("1")}}`),
  bomb("1.7 million events, cut off", 413, OF_TOO_MANY.slice(0, -2)),
];

/** Bodies that are larger or smaller than they look, in other ways. */
const OTHERS: readonly EventBomb[] = [
  bomb("20,000 empty events", 202, `{"events":[${Array(MAX_EVENTS).fill("{}").join(",")}]}`),
  bomb("one event of 5 MB", 202, `{"events":["${fill("x")}"]}`),
  bomb("one event of 1.7 million objects", 202, `{"events":[${OBJECTS}]}`),
  bomb("1.7 million objects beside the events", 202, `{"more":${OBJECTS},"events":[]}`, "zstd"),
  bomb("870,000 members beside the events", 202, `{${fill('"a":1,')}"events":[]}`, "zstd"),
  bomb("an exposure of 1.7 million objects", 202, exposure(OBJECTS)),
  bomb("an exposure 30,000 levels deep", 202, exposure(nested(30_000))),
  bomb("2.6 million levels", 202, `{"events":[${nested(MAX_BODY_BYTES / 2 - 100)}]}`),
  bomb("5 million levels that are never closed", 400, `{"events":${fill("[")}`),
  bomb("a string of escapes", 202, `{"events":["${fill("\\u0041")}"]}`),
  bomb("5 MiB of zeros", 400, Buffer.alloc(MAX_BODY_BYTES)),
  bomb("200 MiB of zeros", 413, Buffer.alloc(200 * MIB)),
  bomb("200 MiB of zeros", 413, Buffer.alloc(200 * MIB), "zstd"),
  bomb("5 MB of metadata", 413, `{"events":[1],"statsigMetadata":"${fill("x")}"}`),
  asIs("64 KiB of metadata", 202, "", withMetadata(64 * 1024)),
  asIs("64 KiB of metadata and a byte", 413, "", withMetadata(64 * 1024 + 1)),
  asIs(
    "two members that are one body",
    202,
    "gzip",
    Buffer.concat(['{"events":', "[{}]}"].map((part) => gzipSync(part))),
  ),
  asIs(
    "2,000 members",
    202,
    "gzip",
    Buffer.concat([ONE_MEMBER, ...Array.from({ length: 2_000 }, () => gzipSync(" "))]),
  ),
  asIs("two members that are two bodies", 400, "gzip", Buffer.concat([ONE_MEMBER, ONE_MEMBER])),
  asIs("gzip with garbage behind it", 400, "gzip", Buffer.concat([ONE_MEMBER, Buffer.from("garbage")])),
  asIs("gzip in gzip", 400, "gzip", gzipSync(ONE_MEMBER)),
];

export const EVENT_BOMBS: readonly EventBomb[] = [...TOO_MANY, ...OTHERS];

/** Finds a bomb by name and coding. */
export function findBomb(name: string, coding = "gzip"): EventBomb {
  const found = EVENT_BOMBS.find((each) => each.name === name && each.coding === coding);
  if (found === undefined) throw new Error(`there is no bomb "${name}" in ${coding}`);
  return found;
}

export const bombHeaders = ({ coding }: EventBomb): Record<string, string> =>
  coding === "" ? {} : { "content-encoding": coding };
