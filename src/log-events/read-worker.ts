import { answerCalls } from "../worker-calls.ts";
import { type BodyReading, type RawBatch, readBody } from "./read-body.ts";

answerCalls<RawBatch, BodyReading>(readBody, (reading) =>
  reading.kind === "read" && reading.digests !== undefined ? [reading.digests.buffer] : [],
);
