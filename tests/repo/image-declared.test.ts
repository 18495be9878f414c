import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { validate } from "dockerfile-utils";
import { findUnknownVariables } from "../../src/config/environment.ts";
import { CACHES, MODES, type OptionSpec } from "../../src/config/option.ts";
import { OPTIONS } from "../../src/config/options.ts";

import { DOCKERFILE, readFinalImage } from "../support/deploy/final-image.ts";

const image = readFinalImage();
const defaultOf = (name: string) =>
  (OPTIONS as readonly OptionSpec[]).find((each) => each.name === name)?.default;

describe("the Dockerfile", () => {
  test("passes its linter", () => {
    expect(validate(readFileSync(DOCKERFILE, "utf8"))).toEqual([]);
  });

  test("ends with a base image without a shell and a non-root user", () => {
    expect(image.base).toMatch(/^gcr\.io\/distroless\/[\w-]+:nonroot(@sha256:[0-9a-f]{64})?$/);
    expect([image.uid, image.gid]).toEqual([65532, 65532]);
  });

  test("exposes the default ports", () => {
    const options = ["http-port", "management-port", "https-port", "grpc-port", "grpcs-port"];
    expect(image.ports).toEqual(options.map((name) => Number(defaultOf(name))));
  });

  test("runs the relay's health check and sets valid variables", () => {
    expect(image.healthcheck).toEqual([...image.entrypoint, "healthcheck"]);
    expect(image.stopSignal).toBe("SIGTERM");
    expect(findUnknownVariables(image.env)).toEqual([]);
    expect(MODES as readonly string[]).toContain(String(image.env["SFP_MODE"]));
    expect(CACHES as readonly string[]).toContain(String(image.env["SFP_CACHE"]));
  });

  test("gives its user the volume and puts the local backup there", () => {
    const owned = image.copies.find(({ to }) => to === image.volume);
    expect(owned?.chown).toBe(`${image.uid}:${image.gid}`);
    expect(image.env["SFP_LOCAL_CACHE_PATH"]).toStartWith(`${image.volume}/`);
  });

  test.each(["title", "description", "licenses", "version", "revision", "created"])(
    "has a label with its %s",
    (name) => expect(image.labels).toContain(`org.opencontainers.image.${name}=`),
  );
});
