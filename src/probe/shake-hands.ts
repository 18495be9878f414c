import { once } from "node:events";
import { connect } from "node:tls";
import { type Answer, answerOf } from "./answer.ts";

/** Whether a port that wants a client's certificate does its part of a handshake: we have none to show. */
export async function shakeHands(url: string, signal: AbortSignal): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  try {
    await once(socket, "secureConnect", { signal });
    return {
      kind: "ready",
      note: "alive, it asks for a client certificate: whether it is ready can't be told",
    };
  } catch (error) {
    return answerOf(error);
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}
