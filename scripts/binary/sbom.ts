import { Contrib, Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import { PackageURL } from "packageurl-js";
import parseLicense from "spdx-expression-parse";
import packageJson from "../../package.json";
import { type BundledPackage, hexOf } from "./bundled-packages.ts";
import type { Commit } from "./commit.ts";
import { RUNTIME_VERSION, type Target } from "./targets.ts";

export interface BillSubject {
  /** Of the executable. */
  readonly fileName: string;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly target: Target;
  readonly commit: Commit;
  readonly packages: readonly BundledPackage[];
}

const { ComponentType, HashAlgorithm } = Enums;

/** What is linked into Bun itself, by the names and versions that Bun gives: commits of its makers' copies. */
const LINKED = [
  ...["ares", "boringssl", "icu", "libarchive", "libdeflate", "llhttp", "lolhtml", "lshpack", "mimalloc"],
  ...["picohttpparser", "sqlite", "tinycc", "usockets", "uwebsockets", "webkit", "zlib", "zstd"],
];

/** The CycloneDX bill of materials of an executable, as JSON. The same executable has the same bill. */
export function billOfMaterials(subject: BillSubject): string {
  const { sha256, commit, packages } = subject;
  const bom = new Models.Bom({ serialNumber: serialNumberOf(sha256) });
  if (commit.timeS !== undefined) bom.metadata.timestamp = new Date(commit.timeS * 1_000);
  const relay = relayComponent(subject);
  bom.metadata.component = relay;
  const byId = new Map(packages.map((each) => [`${each.name}@${each.version}`, npmComponent(each)]));
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
  const [bun, ...linked] = runtimeComponents(subject.target);
  for (const component of [bun, ...linked]) bom.components.add(component);
  relay.dependencies.add(bun.bomRef);
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}

const direct = new Set(
  Object.entries(packageJson.dependencies).map(([name, version]) => `${name}@${version}`),
);
const isDirect = (id: string) => direct.has(id);

function relayComponent({ fileName, sha256, commit }: BillSubject): Models.Component {
  const { name, version, license, description } = packageJson;
  return new Models.Component(ComponentType.Application, name, {
    bomRef: fileName,
    version,
    description,
    licenses: licensesOf(license),
    hashes: new Models.HashDictionary([[HashAlgorithm["SHA-256"], sha256]]),
    properties: new Models.PropertyRepository([
      new Models.Property("file", fileName),
      new Models.Property("commit", commit.shown),
    ]),
  });
}

function npmComponent({ name, version, license, sha512 }: BundledPackage): Models.Component {
  return new Models.Component(ComponentType.Library, name.replace(/^@[^/]+\//, ""), {
    ...(name.startsWith("@") && { group: name.slice(0, name.indexOf("/")) }),
    bomRef: `${name}@${version}`,
    version,
    purl: npmPurl(name, version),
    licenses: licensesOf(license),
    hashes: new Models.HashDictionary([[HashAlgorithm["SHA-512"], sha512]]),
  });
}

/** Bun, and behind it what is linked into it. */
function runtimeComponents({ runtime, integrity }: Target): [Models.Component, ...Models.Component[]] {
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  if (versions["bun"] !== RUNTIME_VERSION)
    throw new Error(`this is Bun ${versions["bun"]}, not the pinned one`);
  const license = "MIT";
  const bun = npmComponent({
    name: runtime,
    version: RUNTIME_VERSION,
    license,
    sha512: hexOf(integrity),
    needs: [],
  });
  bun.type = ComponentType.Platform;
  const linked = LINKED.map((name) => {
    const version = versions[name];
    if (version === undefined) throw new Error(`Bun no longer tells the version of ${name}`);
    return new Models.Component(ComponentType.Library, name, { bomRef: `bun/${name}`, version });
  });
  for (const { bomRef } of linked) bun.dependencies.add(bomRef);
  return [bun, ...linked];
}

function npmPurl(id: string, version: string): string {
  const [name, namespace] = id.split("/").reverse();
  return new PackageURL("npm", namespace, name ?? id, version, undefined, undefined).toString();
}

function licensesOf(expression: string): Models.LicenseRepository {
  const factory = new Contrib.License.Factories.LicenseFactory(parseLicense);
  return new Models.LicenseRepository([factory.makeFromString(expression)]);
}

/** A UUID (version 8, of a hash of ours), since a random one would make each build's bill another. */
function serialNumberOf(sha256: string): string {
  const digits = `${sha256.slice(0, 12)}8${sha256.slice(13, 16)}a${sha256.slice(17, 32)}`;
  const parts = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/.exec(digits)?.slice(1) ?? [];
  return `urn:uuid:${parts.join("-")}`;
}
