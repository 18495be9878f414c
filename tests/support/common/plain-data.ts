type Primitive = string | number | bigint | boolean | null | undefined;

/** Whether values of the type cross between threads unchanged: no functions, and no instances with methods. */
type IsPlain<T> = T extends Primitive | Uint8Array
  ? true
  : T extends readonly (infer Item)[]
    ? IsPlain<Item>
    : T extends (...parameters: never[]) => unknown
      ? false
      : T extends object
        ? false extends { [K in keyof T]-?: IsPlain<T[K]> }[keyof T]
          ? false
          : true
        : false;

/** The methods that do not take at most one argument and resolve with a value, all of plain data. */
export type UnportableMethods<T> = {
  [K in keyof T]: T[K] extends (...parameters: infer P) => infer R
    ? R extends Promise<infer Result>
      ? [IsPlain<P>, IsPlain<Result>, P["length"]] extends [true, true, 0 | 1]
        ? never
        : K
      : K
    : IsPlain<T[K]> extends true
      ? never
      : K;
}[keyof T];

/** Returns the service as another thread has it: arguments and results are structured clones. */
export function acrossThreads<T extends object>(service: T): T {
  return new Proxy(service, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return structuredClone(member);
      return async (...parameters: unknown[]) =>
        structuredClone(await member.apply(target, structuredClone(parameters)));
    },
  });
}
