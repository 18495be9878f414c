export type ByteRange =
  | { readonly kind: "whole" }
  /** From `first` up to, not including, `end`. */
  | { readonly kind: "part"; readonly first: number; readonly end: number }
  | { readonly kind: "unsatisfiable" };

const WHOLE: ByteRange = { kind: "whole" };

/**
 * What a Range header asks for of so many bytes (RFC 9110, 14). Another unit, more than one range, or what can't be
 * read asks for nothing: the whole is sent.
 */
export function readByteRange(header: string | null, size: number): ByteRange {
  const [, first = "", last = ""] = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? "") ?? [];
  if (first === "" && last === "") return WHOLE;
  if (first === "") return part(Math.max(0, size - Number(last)), size, size);
  if (last !== "" && Number(last) < Number(first)) return WHOLE;
  return part(Number(first), last === "" ? size : Math.min(size, Number(last) + 1), size);
}

function part(first: number, end: number, size: number): ByteRange {
  return first < size && first < end ? { kind: "part", first, end } : { kind: "unsatisfiable" };
}
