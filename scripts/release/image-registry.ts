/** An image by tag, as a Dockerfile names it. */
export interface ImageReference {
  /** Host, and port if there is one. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/** What a tag may stand for: an index of all architectures, or the image of one. */
const MEDIA_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const TIMEOUT_MS = 30_000;

/** Parses `node:22`, `gcr.io/distroless/base:nonroot`, `localhost:5000/a/b:1`. Docker Hub is the default. Throws without a tag. */
export function parseImage(name: string): ImageReference {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:]|^localhost$/.test(first);
  const path = isHost ? name.slice(slash + 1) : name;
  const [repository = "", tag] = path.split(":");
  if (tag === undefined) throw new Error(`${name} has no tag, so there is nothing to pin`);
  if (isHost) return { registry: first, repository, tag };
  const official = repository.includes("/") ? repository : `library/${repository}`;
  return { registry: "registry-1.docker.io", repository: official, tag };
}

/**
 * Returns the digest that the tag stands for now (OCI distribution specification, Pulling manifests). HTTPS_PROXY and
 * NODE_EXTRA_CA_CERTS apply. Throws if the registry cannot be reached or does not have the tag.
 */
export async function fetchDigest({ registry, repository, tag }: ImageReference): Promise<string> {
  // As container engines do: only a registry on this machine is asked without TLS.
  const scheme = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(registry) ? "http" : "https";
  const url = `${scheme}://${registry}/v2/${repository}/manifests/${tag}`;
  const headers = { accept: MEDIA_TYPES.join(", ") };
  let response = await request(url, headers);
  if (response.status === 401) {
    const token = await fetchToken(response.headers.get("www-authenticate") ?? "", url);
    response = await request(url, { ...headers, authorization: `Bearer ${token}` });
  }
  if (!response.ok) throw new Error(`${url} responds ${response.status}`);
  const digest = response.headers.get("docker-content-digest") ?? "";
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error(`${url} gives no digest`);
  return digest;
}

/** Gets the token that a public registry gives without a login. */
async function fetchToken(challenge: string, from: string): Promise<string> {
  const fields = Object.fromEntries(
    Array.from(challenge.matchAll(/(\w+)="([^"]*)"/g), ([, name = "", value = ""]) => [name, value]),
  );
  const { realm, service = "", scope = "" } = fields;
  if (!challenge.startsWith("Bearer ") || realm === undefined)
    throw new Error(`${from} asks for a login that is not supported: ${challenge}`);
  const response = await request(`${realm}?${new URLSearchParams({ service, scope })}`, {}, "GET");
  const { token, access_token } = (await response.json()) as { token?: string; access_token?: string };
  const found = token ?? access_token;
  if (found === undefined) throw new Error(`${realm} gives no token`);
  return found;
}

async function request(url: string, headers: Record<string, string>, method = "HEAD"): Promise<Response> {
  try {
    return await fetch(url, { method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new Error(`cannot reach ${url}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
