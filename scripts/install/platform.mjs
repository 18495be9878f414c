/** Throws if no Bun exists for this machine, with what to use instead. */
export function checkPlatform({ platform, arch } = process) {
  if (platform === "win32") {
    throw new Error(
      "Windows is not supported: use WSL 2 (https://learn.microsoft.com/windows/wsl/install), or build the image with Docker",
    );
  }
  const isKnown = ["linux", "darwin"].includes(platform) && ["x64", "arm64"].includes(arch);
  if (!isKnown) {
    throw new Error(`${platform} on ${arch} is not supported (expected Linux or macOS, on x64 or arm64)`);
  }
}
