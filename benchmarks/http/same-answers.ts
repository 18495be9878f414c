import { createHash } from "node:crypto";
import { request } from "node:http";
import { buffer } from "node:stream/consumers";
import type { HttpCase } from "./cases.ts";
import type { HttpServer } from "./http-server.ts";

/** Throws unless every server responds with 200 and the same bytes. Also fills nginx's caches. */
export async function requireSameAnswers(servers: readonly HttpServer[], httpCase: HttpCase): Promise<void> {
  const answers = await Promise.all(
    servers.map((server) => get(server.url + httpCase.path, httpCase.headers)),
  );
  const problems = answers.flatMap(({ status, coding, body }, at) => {
    const wrong = [
      status === 200 ? "" : `status ${status}`,
      body.length === httpCase.bodyBytes ? "" : `${body.length} bytes instead of ${httpCase.bodyBytes}`,
      coding === answers[0]?.coding ? "" : `content-encoding ${coding}`,
      digest(body) === digest(answers[0]?.body) ? "" : "different body",
    ].filter((each) => each !== "");
    return wrong.length === 0 ? [] : [`${servers[at]?.name}: ${wrong.join(", ")}`];
  });
  if (problems.length > 0) throw new Error(`${httpCase.name}: responses differ: ${problems.join("; ")}`);
}

const digest = (body: Buffer = Buffer.of()) => createHash("sha256").update(body).digest("hex");

async function get(url: string, headers: Readonly<Record<string, string>>) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number;
    coding: string;
    body: Buffer;
  }>();
  const sent = request(url, { headers, agent: false, signal: AbortSignal.timeout(10_000) }, (answer) => {
    buffer(answer).then((body) => {
      const coding = answer.headers["content-encoding"] ?? "identity";
      resolve({ status: answer.statusCode ?? 0, coding, body });
    }, reject);
  });
  sent.once("error", reject).end();
  return promise;
}
