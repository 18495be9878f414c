// Requests every key on every one of many connections, so that each serving thread sends each response.
//   bun all-keys-client.ts <url> <connections> <file with lines of path and accepted encoding>
import { readFileSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";

const [url = "", connections = "1", file = ""] = process.argv.slice(2);
const targets = readFileSync(file, "utf8")
  .trim()
  .split("\n")
  .map((line) => line.split(" "));

await Promise.all(Array.from({ length: Number(connections) }, requestAll));
process.stdout.write(`${JSON.stringify(Number(connections) * targets.length)}\n`, () => process.exit(0));

async function requestAll(): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (const [path = "", encoding = ""] of targets) {
    const response = await responseTo(path, encoding, agent);
    if (response.statusCode !== 200) throw new Error(`the relay returned ${response.statusCode}`);
    for await (const _ of response);
  }
  agent.destroy();
}

function responseTo(path: string, encoding: string, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url + path, { headers: { "accept-encoding": encoding }, agent }, resolve)
      .once("error", reject)
      .end();
  });
}
