// `npm run pin-images`: pins the base images of the Dockerfile by the digest that their tags stand for now. Run it again to
// follow the tags. The tag stays in the line, for readers; engines use the digest.
//   npm run pin-images -- [--check] [--file <Dockerfile>]
// --check changes nothing: exit code 1 if an image has no digest or its tag stands for another one by now.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./command.ts";
import { fetchDigest, parseImage } from "./release/image-registry.ts";

/** `FROM`, its flags, the image, its digest if there is one, and the rest of the line. */
const FROM = /^(FROM\s+(?:--\S+\s+)*)([^\s@]+)(@sha256:[0-9a-f]{64})?(.*)$/gim;

try {
  const { values } = parseArgs({
    options: { check: { type: "boolean", default: false }, file: { type: "string" } },
  });
  const path = values.file ?? join(root, "Dockerfile");
  const before = await Bun.file(path).text();
  const digests = await fetchDigests(before);
  const after = before.replace(FROM, (line, start: string, name: string, _digest, rest: string) => {
    const digest = digests.get(name);
    return digest === undefined ? line : `${start}${name}@${digest}${rest}`;
  });
  for (const [name, digest] of digests) console.log(`${name}@${digest}`);
  if (!values.check) await Bun.write(path, after);
  else if (before !== after)
    throw new Error(`${path} is not pinned to these digests: run npm run pin-images`);
} catch (error) {
  console.error(`pin-images: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

/** Returns the digest of each base image. A stage that is based on an earlier stage has none. */
async function fetchDigests(dockerfile: string): Promise<ReadonlyMap<string, string>> {
  const lines = [...dockerfile.matchAll(FROM)];
  const stages = new Set(lines.map(([, , , , rest = ""]) => /^\s+AS\s+(\S+)/i.exec(rest)?.[1]));
  const names = new Set(lines.map(([, , name = ""]) => name).filter((name) => !stages.has(name)));
  names.delete("scratch");
  if (names.size === 0) throw new Error("the file has no base image");
  const digests = new Map<string, string>();
  for (const name of names) digests.set(name, await fetchDigest(parseImage(name)));
  return digests;
}
