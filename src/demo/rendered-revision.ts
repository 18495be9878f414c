import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { renderProto } from "./render-proto.ts";
import { renderV1 } from "./render-v1.ts";
import { renderV2 } from "./render-v2.ts";
import type { SampleProject } from "./sample-model.ts";

export type JsonCoding = "br" | "gzip" | "identity";

const compressionLevel = 4;

/** One revision of the sample project for one SDK key; every body is made once, when first asked for. */
export class RenderedRevision {
  readonly project: SampleProject;
  readonly #sdkKey: string;
  readonly #bodies = new Map<string, Buffer>();

  constructor(project: SampleProject, sdkKey: string) {
    this.project = project;
    this.#sdkKey = sdkKey;
  }

  proto(): Buffer {
    return this.#once("proto", () => renderProto(this.project, this.#sdkKey));
  }

  json(shape: "v1" | "v2", coding: JsonCoding): Buffer {
    return this.#once(`${shape} ${coding}`, () => {
      switch (coding) {
        case "identity":
          return Buffer.from((shape === "v1" ? renderV1 : renderV2)(this.project, this.#sdkKey));
        case "gzip":
          return gzipSync(this.json(shape, "identity"), { level: compressionLevel });
        case "br": {
          const params = { [constants.BROTLI_PARAM_QUALITY]: compressionLevel };
          return brotliCompressSync(this.json(shape, "identity"), { params });
        }
      }
    });
  }

  #once(name: string, make: () => Buffer): Buffer {
    const made = this.#bodies.get(name) ?? make();
    this.#bodies.set(name, made);
    return made;
  }
}
