/**
 * Returns the path that routes are matched against: doubled slashes count as one, and a trailing slash as none. Base URLs of
 * SDKs are written with and without them (docs/protocol.md, Config specs over HTTP).
 */
export function collapseSlashes(path: string): string {
  if (!path.includes("//") && !path.endsWith("/")) return path;
  const collapsed = path.replace(/\/{2,}/g, "/");
  return collapsed.length > 1 && collapsed.endsWith("/") ? collapsed.slice(0, -1) : collapsed;
}

/** Returns the collapsed path of a URL, or of a path and query alone. */
export function readRoutePath(url: string): string {
  return collapseSlashes(new URL(url, "http://localhost").pathname);
}
