// Reads type declarations of TypeScript as far as plain data needs them: interfaces, unions, arrays and records, with their comments.

export type TypeNode =
  | { readonly kind: "primitive"; readonly name: "string" | "number" | "boolean" | "null" }
  | { readonly kind: "literal"; readonly value: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "array"; readonly of: TypeNode }
  | { readonly kind: "object"; readonly fields: readonly Field[] }
  | { readonly kind: "record"; readonly key: TypeNode; readonly value: TypeNode; readonly isPartial: boolean }
  | {
      readonly kind: "union";
      readonly members: readonly { readonly type: TypeNode; readonly comment: string | undefined }[];
    };

export interface Field {
  readonly name: string;
  readonly comment: string | undefined;
  readonly isOptional: boolean;
  readonly type: TypeNode;
}

export interface Declaration {
  readonly name: string;
  readonly comment: string | undefined;
  /** The value of the tag `@format` in the comment. */
  readonly format: string | undefined;
  /** The interface that it extends. */
  readonly base: string | undefined;
  readonly type: TypeNode;
}

const DECLARATION =
  /(?:^(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\n)?^(?:export )?(interface|type) (\w+)(?: extends (\w+))?/gm;

const TOKEN = /\/\*\*[\s\S]*?\*\/|\/\/[^\n]*|"[^"]*"|[\w$]+|[^\s\w]/g;

const PRIMITIVES: readonly string[] = ["string", "number", "boolean", "null"];

/** Throws an error that shows the place if a declaration has anything else. */
export function parseDeclarations(source: string): readonly Declaration[] {
  return Array.from(source.matchAll(DECLARATION), (match) => {
    const [whole, comment, kind, name = "", base] = match;
    const parser = new TypeParser(source.slice(match.index + whole.length));
    if (kind === "type") parser.expect("=");
    const { text, format } = readComment(comment);
    return { name, base, comment: text, format, type: parser.type() };
  });
}

function readComment(comment = ""): {
  readonly text: string | undefined;
  readonly format: string | undefined;
} {
  const lines = comment
    .replace(/^\/\*\*|\*\/$/g, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trim());
  const format = lines.map((line) => /^@format (\S+)$/.exec(line)?.[1]).find((found) => found !== undefined);
  const text = lines
    .filter((line) => line !== "" && !line.startsWith("@"))
    .join("\n")
    .replace(/\n(?!- )/g, " ")
    .replace(/\{@link (\w+)\}/g, "`$1`");
  return { text: text === "" ? undefined : text, format };
}

class TypeParser {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(source: string) {
    this.#tokens = Array.from(source.matchAll(TOKEN), ([token]) => token).filter(
      (token) => !token.startsWith("//"),
    );
  }

  expect(token: string): void {
    if (this.#next() !== token) throw this.#unexpected();
  }

  type(): TypeNode {
    this.#skip("|");
    const members = [this.#member()];
    while (this.#skipsTo("|")) members.push(this.#member());
    const [only] = members;
    return members.length === 1 && only !== undefined && only.comment === undefined
      ? only.type
      : { kind: "union", members };
  }

  /** A comment may precede a member, or the bar before it. */
  #skipsTo(token: string): boolean {
    const isAfterComment = this.#peek().startsWith("/**") && this.#tokens[this.#at + 1] === token;
    if (!isAfterComment) return this.#skip(token);
    this.#pending = readComment(this.#next()).text;
    return this.#skip(token);
  }

  #pending: string | undefined;

  #member(): { readonly type: TypeNode; readonly comment: string | undefined } {
    const comment = this.#comment() ?? this.#pending;
    this.#pending = undefined;
    return { comment, type: this.#postfix() };
  }

  #postfix(): TypeNode {
    this.#skip("readonly");
    let type = this.#primary();
    while (this.#skip("[")) {
      this.expect("]");
      type = { kind: "array", of: type };
    }
    return type;
  }

  #primary(): TypeNode {
    const token = this.#next();
    if (token === "(") {
      const inner = this.type();
      this.expect(")");
      return inner;
    }
    if (token === "{") return { kind: "object", fields: this.#fields() };
    if (token.startsWith('"')) return { kind: "literal", value: token.slice(1, -1) };
    if (PRIMITIVES.includes(token)) {
      return { kind: "primitive", name: token as Extract<TypeNode, { kind: "primitive" }>["name"] };
    }
    if (!/^[A-Z]\w*$/.test(token)) throw this.#unexpected();
    return this.#skip("<") ? this.#generic(token) : { kind: "name", name: token };
  }

  #generic(name: string): TypeNode {
    const first = this.type();
    if (name === "Record") {
      this.expect(",");
      const value = this.type();
      this.expect(">");
      return { kind: "record", key: first, value, isPartial: false };
    }
    this.expect(">");
    if (name === "Readonly") return first;
    if (name === "Partial" && first.kind === "record") return { ...first, isPartial: true };
    throw this.#unexpected();
  }

  #fields(): readonly Field[] {
    const fields: Field[] = [];
    while (!this.#skip("}")) {
      const comment = this.#comment();
      this.#skip("readonly");
      const name = this.#next().replace(/^"|"$/g, "");
      const isOptional = this.#skip("?");
      this.expect(":");
      fields.push({ name, comment, isOptional, type: this.type() });
      this.#skip(";");
    }
    return fields;
  }

  #comment(): string | undefined {
    return this.#peek().startsWith("/**") ? readComment(this.#next()).text : undefined;
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? "";
  }

  #next(): string {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #skip(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#at++;
    return true;
  }

  #unexpected(): Error {
    const place = this.#tokens.slice(Math.max(0, this.#at - 6), this.#at + 2).join(" ");
    return new Error(`a type has a form that the JSON Schema cannot show, near: ${place}`);
  }
}
