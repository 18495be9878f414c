import { Contrib, Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import { PackageURL } from "packageurl-js";
import parseLicense from "spdx-expression-parse";
import packageJson from "../../package.json";
import { type BundledPackage, toHex } from "./bundled-packages.ts";
import type { Commit } from "./commit.ts";
import { RUNTIME_VERSION, type Target } from "./targets.ts";

export interface BillSubject {
  /** The name of the executable. */
  readonly fileName: string;
  /** The SHA-256 of the executable, in hexadecimal. */
  readonly sha256: string;
  readonly target: Target;
  readonly commit: Commit;
  readonly packages: readonly BundledPackage[];
}

const { ComponentType, HashAlgorithm } = Enums;

/** Libraries that are linked into Bun. process.versions names their versions: commits of the copies that Bun builds. */
const LINKED = [
  ...["ares", "boringssl", "icu", "libarchive", "libdeflate", "llhttp", "lolhtml", "lshpack", "mimalloc"],
  ...["picohttpparser", "sqlite", "tinycc", "usockets", "uwebsockets", "webkit", "zlib", "zstd"],
];

/** Returns the CycloneDX bill of materials of an executable as JSON. It depends only on the executable. */
export function createBillOfMaterials(subject: BillSubject): string {
  const { sha256, commit, packages } = subject;
  const bom = new Models.Bom({ serialNumber: createSerialNumber(sha256) });
  if (commit.timeS !== undefined) bom.metadata.timestamp = new Date(commit.timeS * 1_000);
  const relay = createRelayComponent(subject);
  bom.metadata.component = relay;
  const byId = new Map(packages.map((each) => [`${each.name}@${each.version}`, createNpmComponent(each)]));
  for (const each of packages) {
    const component = byId.get(`${each.name}@${each.version}`);
    for (const need of each.needs) {
      const needed = byId.get(need);
      if (needed !== undefined) component?.dependencies.add(needed.bomRef);
    }
  }
  for (const [name, component] of byId) {
    bom.components.add(component);
    if (isDirect(name)) relay.dependencies.add(component.bomRef);
  }
  const [bun, ...linked] = createRuntimeComponents(subject.target);
  for (const component of [bun, ...linked]) bom.components.add(component);
  relay.dependencies.add(bun.bomRef);
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}

const direct = new Set(
  Object.entries(packageJson.dependencies).map(([name, version]) => `${name}@${version}`),
);
const isDirect = (id: string) => direct.has(id);

function createRelayComponent({ fileName, sha256, commit }: BillSubject): Models.Component {
  const { name, version, license, description } = packageJson;
  return new Models.Component(ComponentType.Application, name, {
    bomRef: fileName,
    version,
    description,
    licenses: parseLicenses(license),
    hashes: new Models.HashDictionary([[HashAlgorithm["SHA-256"], sha256]]),
    properties: new Models.PropertyRepository([
      new Models.Property("file", fileName),
      new Models.Property("commit", commit.shown),
    ]),
  });
}

function createNpmComponent({ name, version, license, sha512 }: BundledPackage): Models.Component {
  return new Models.Component(ComponentType.Library, name.replace(/^@[^/]+\//, ""), {
    ...(name.startsWith("@") && { group: name.slice(0, name.indexOf("/")) }),
    bomRef: `${name}@${version}`,
    version,
    purl: formatPurl(name, version),
    licenses: parseLicenses(license),
    hashes: new Models.HashDictionary([[HashAlgorithm["SHA-512"], sha512]]),
  });
}

/** Returns the component of Bun, followed by those of the libraries that are linked into it. */
function createRuntimeComponents({ runtime, integrity }: Target): [Models.Component, ...Models.Component[]] {
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  if (versions["bun"] !== RUNTIME_VERSION)
    throw new Error(`this is Bun ${versions["bun"]} (expected ${RUNTIME_VERSION})`);
  const license = "MIT";
  const bun = createNpmComponent({
    name: runtime,
    version: RUNTIME_VERSION,
    license,
    sha512: toHex(integrity),
    needs: [],
  });
  bun.type = ComponentType.Platform;
  const linked = LINKED.map((name) => {
    const version = versions[name];
    if (version === undefined) throw new Error(`process.versions has no version of ${name}`);
    return new Models.Component(ComponentType.Library, name, { bomRef: `bun/${name}`, version });
  });
  for (const { bomRef } of linked) bun.dependencies.add(bomRef);
  return [bun, ...linked];
}

function formatPurl(id: string, version: string): string {
  const [name, namespace] = id.split("/").reverse();
  return new PackageURL("npm", namespace, name ?? id, version, undefined, undefined).toString();
}

function parseLicenses(expression: string): Models.LicenseRepository {
  const factory = new Contrib.License.Factories.LicenseFactory(parseLicense);
  return new Models.LicenseRepository([factory.makeFromString(expression)]);
}

/** Returns a UUID of version 8, made from the hash: a random one would make the bill of each build different. */
function createSerialNumber(sha256: string): string {
  const digits = `${sha256.slice(0, 12)}8${sha256.slice(13, 16)}a${sha256.slice(17, 32)}`;
  const parts = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/.exec(digits)?.slice(1) ?? [];
  return `urn:uuid:${parts.join("-")}`;
}
