import { brotliCompressSync, constants } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import {
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
  SpecsTopLevelSchema,
} from "../gen/statsig_config_specs_pb.ts";
import { conditionBytes, specBytes } from "./proto-specs.ts";
import { v2Rest } from "./render-v2.ts";
import type { SampleProject, Spec } from "./sample-model.ts";
import { contentChecksum, sharedConditions } from "./shared-conditions.ts";

const compressionLevel = 5;

function envelope(kind: SpecsEnvelopeKind, name: string, data: Uint8Array): Uint8Array {
  const message = create(SpecsEnvelopeSchema, { kind, name, checksum: contentChecksum(data), data });
  return sizeDelimitedEncode(SpecsEnvelopeSchema, message);
}

function specEnvelopes(kind: SpecsEnvelopeKind, specs: readonly Spec[]): readonly Uint8Array[] {
  return specs.map((spec) => envelope(kind, spec.name, specBytes(spec)));
}

function topLevel(project: SampleProject, sdkKey: string): Uint8Array {
  const message = create(SpecsTopLevelSchema, {
    hasUpdates: true,
    time: BigInt(project.timeMs),
    companyId: project.companyId,
    responseFormat: "dcs-v2",
    checksum: project.checksum,
    rest: new TextEncoder().encode(JSON.stringify(v2Rest(project, sdkKey))),
  });
  return toBinary(SpecsTopLevelSchema, message);
}

/** The "statsig-br" shape: brotli over size-delimited envelopes, the last of them DONE. */
export function renderProto(project: SampleProject, sdkKey: string): Buffer {
  const envelopes = [
    envelope(SpecsEnvelopeKind.TOP_LEVEL, "", topLevel(project, sdkKey)),
    ...specEnvelopes(SpecsEnvelopeKind.FEATURE_GATE, project.gates),
    ...specEnvelopes(SpecsEnvelopeKind.DYNAMIC_CONFIG, project.configs),
    ...specEnvelopes(SpecsEnvelopeKind.LAYER_CONFIG, project.layers),
    ...Object.entries(project.paramStores).map(([name, store]) =>
      envelope(SpecsEnvelopeKind.PARAM_STORE, name, new TextEncoder().encode(JSON.stringify(store))),
    ),
    ...[...sharedConditions(project)].map(([name, condition]) =>
      envelope(SpecsEnvelopeKind.CONDITION, name, conditionBytes(condition)),
    ),
    sizeDelimitedEncode(SpecsEnvelopeSchema, create(SpecsEnvelopeSchema, { kind: SpecsEnvelopeKind.DONE })),
  ];
  const params = { [constants.BROTLI_PARAM_QUALITY]: compressionLevel };
  return brotliCompressSync(Buffer.concat(envelopes), { params });
}
