/** A file that contains the version of the relay. */
interface Place {
  readonly file: string;
  /** Formats the text around the version; the file contains it at least once. */
  readonly text: (version: string) => string;
}

const imageTag = (version: string) => `statsig-forward-proxy:${version}`;
const buildArg = (version: string) => `--build-arg VERSION=${version} `;
const chart = "deploy/helm/statsig-forward-proxy";

export const VERSION_PLACES: readonly Place[] = [
  { file: "package.json", text: (version) => `"version": "${version}"` },
  { file: `${chart}/Chart.yaml`, text: (version) => `\nversion: ${version}\n` },
  { file: `${chart}/Chart.yaml`, text: (version) => `\nappVersion: ${version}\n` },
  { file: `${chart}/README.md`, text: imageTag },
  { file: `${chart}/README.md`, text: (version) => `image.tag=${version}` },
  { file: `${chart}/README.md`, text: (version) => `--version ${version}` },
  { file: "Dockerfile", text: buildArg },
  { file: "docs/binary-and-image.md", text: buildArg },
  { file: "docs/binary-and-image.md", text: (version) => `statsig-forward-proxy ${version} (` },
  { file: "docs/binary-and-image.md", text: (version) => `VERSION=${version}\n` },
  { file: "docs/configuration.md", text: (version) => `statsig-forward-proxy ${version},` },
  { file: "docs/deployment.md", text: imageTag },
  { file: "docs/deployment.md", text: (version) => `image.tag=${version}` },
  { file: "docs/deployment.md", text: (version) => `--version ${version}` },
  { file: "docs/deployment.md", text: (version) => `statsig-forward-proxy_${version}_amd64.deb` },
  { file: "docs/deployment.md", text: (version) => `statsig-forward-proxy-${version}-1.x86_64.rpm` },
  { file: "docs/migrating.md", text: (version) => `TAG=${version}\n` },
  { file: "deploy/kubernetes/active.yaml", text: imageTag },
  { file: "deploy/kubernetes/passive.yaml", text: imageTag },
];

/** Replaces the version in all its places of a file. Throws if one of them does not contain the old version. */
export function withVersion(file: string, content: string, from: string, to: string): string {
  let changed = content;
  for (const { text } of VERSION_PLACES.filter((place) => place.file === file)) {
    if (!changed.includes(text(from))) throw new Error(`${file} does not contain "${text(from).trim()}"`);
    changed = changed.replaceAll(text(from), text(to));
  }
  return changed;
}
