// Prints by how many bytes the resident memory grows while the facts of a JSON text of 3 million members are read, and the text's length.
import { readJsonFacts } from "../../../src/specs/payload/json.ts";

const text = Buffer.from(`{"time":1${',"a":1'.repeat(3_000_000)}}`);
const before = process.memoryUsage.rss();
readJsonFacts(text);
console.log(JSON.stringify({ grownBy: process.memoryUsage.rss() - before, length: text.length }));
