import { readFile } from "node:fs/promises";

/** Local address, remote address, and the state 01, which is an open connection (proc(5), /proc/net/tcp). */
const row = (portHex: string) => new RegExp(`^ *\\d+: [0-9A-F]+:${portHex} [0-9A-F]+:[0-9A-F]{4} 01 `, "gm");

/** How many connections to a port of this machine are open; undefined where the system does not tell (not Linux). */
export async function connectionsTo(port: number): Promise<number | undefined> {
  const pattern = row(port.toString(16).toUpperCase().padStart(4, "0"));
  const tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map((path) => countIn(path, pattern));
  const counts = (await Promise.all(tables)).filter((count) => count !== undefined);
  return counts.length === 0 ? undefined : counts.reduce((sum, count) => sum + count, 0);
}

async function countIn(path: string, pattern: RegExp): Promise<number | undefined> {
  try {
    return (await readFile(path, "latin1")).match(pattern)?.length ?? 0;
  } catch {
    return undefined;
  }
}
