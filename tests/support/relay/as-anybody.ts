/** The start of a command that removes the capability of root to access files against their mode. */
export const AS_ANYBODY =
  process.getuid?.() === 0
    ? ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"]
    : [];
