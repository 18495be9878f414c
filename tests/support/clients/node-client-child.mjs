// Node's own HTTP clients, in a separate process: an implementation other than the relay's. Reads and writes JSON lines as
// defined in node-client.ts.
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const sessions = new Map();

function sessionTo(origin) {
  let session = sessions.get(origin);
  if (session === undefined || session.closed || session.destroyed) {
    session = http2.connect(origin, { rejectUnauthorized: false });
    session.on("error", () => {});
    sessions.set(origin, session);
  }
  return session;
}

const agents = {
  "http:": new http.Agent({ keepAlive: true }),
  "https:": new https.Agent({ keepAlive: true }),
};

function open({ protocol, url, method, headers, body }) {
  const { origin, pathname, search, protocol: scheme } = new URL(url);
  if (protocol === "h2") {
    const head = { ":method": method, ":path": pathname + search, ...headers };
    const endStream = body === "none";
    const waitForTrailers = typeof body === "object" && body.trailers !== undefined;
    const stream = sessionTo(origin).request(head, { endStream, waitForTrailers });
    if (waitForTrailers) stream.on("wantTrailers", () => stream.sendTrailers(body.trailers));
    return stream;
  }
  const { request } = scheme === "https:" ? https : http;
  return request(url, { method, headers, agent: agents[scheme], rejectUnauthorized: false });
}

/** Resolves at the end of the response, however it ends. `onResponse` is called with its headers. */
function responseTo(outgoing, { protocol, readDelayMs = 0 }, onResponse) {
  const seen = { status: 0, headers: {}, trailers: {}, bytes: 0, text: "", error: null };
  return new Promise((resolve) => {
    const chunks = [];
    const done = (error) => {
      seen.text = Buffer.concat(chunks).toString("latin1").slice(0, 2_000);
      resolve({ ...seen, error: error?.code ?? error?.message ?? seen.error });
    };
    const read = async (incoming) => {
      if (readDelayMs > 0) await sleep(readDelayMs);
      incoming.on("data", (chunk) => {
        seen.bytes += chunk.length;
        if (seen.bytes < 10_000) chunks.push(chunk);
      });
    };
    outgoing.on("error", (error) => {
      seen.error = error.code ?? error.message;
      // A response that has arrived counts, as it does for users of these clients.
      if (seen.status === 0) done(error);
    });
    if (protocol === "h2") {
      outgoing.on("response", (headers) => {
        seen.status = headers[":status"];
        seen.headers = { ...headers };
        onResponse();
        void read(outgoing);
      });
      outgoing.on("trailers", (trailers) => {
        seen.trailers = { ...trailers };
      });
      outgoing.on("close", () => done());
      return;
    }
    outgoing.on("response", (incoming) => {
      seen.status = incoming.statusCode;
      seen.headers = incoming.headers;
      onResponse();
      incoming.on("end", () => done());
      incoming.on("error", done);
      void read(incoming);
    });
  });
}

function drainOrClose(outgoing) {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off("drain", done);
      outgoing.off("close", done);
      resolve();
    };
    outgoing.on("drain", done);
    outgoing.on("close", done);
  });
}

async function send(outgoing, { body, protocol }) {
  if (body === "none") {
    if (protocol !== "h2") outgoing.end();
    return;
  }
  if (protocol !== "h2" && body.chunked !== false) outgoing.setHeader("transfer-encoding", "chunked");
  if (protocol !== "h2") outgoing.flushHeaders();
  for (const chunk of body.chunks) {
    if (typeof chunk === "number") await sleep(chunk);
    else outgoing.write(Buffer.from(chunk, "base64"));
  }
  if (body.repeat !== undefined) {
    const chunk = Buffer.alloc(64 * 1024, body.repeat.byte);
    for (let left = body.repeat.bytes; left > 0; left -= chunk.length) {
      if (outgoing.destroyed || outgoing.errored) break;
      const slice = chunk.subarray(0, Math.min(left, chunk.length));
      if (!outgoing.write(slice)) await drainOrClose(outgoing);
    }
  }
  if (body.trailers !== undefined && protocol !== "h2") outgoing.addTrailers(body.trailers);
  if (body.isEndless !== true) outgoing.end();
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const outgoing = open(question);
  const tell = (what) => process.stdout.write(`${JSON.stringify({ id: question.id, ...what })}\n`);
  const answered = responseTo(outgoing, question, () => tell({}));
  void send(outgoing, question).catch(() => {});
  void answered.then((answer) => tell({ answer }));
}
process.exit(0);
