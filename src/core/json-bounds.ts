/** How deep a body may be nested. The deepest that any operation takes is a list in an object. */
export const MOST_LEVELS = 8;

/** How many commas a body may hold, which bounds how many values it holds. No operation takes a hundred. */
export const MOST_COMMAS = 256;

/** What can be told about a JSON text without reading it. Of a text that is no JSON the parser will complain. */
export interface JsonOutline {
  /** Whether it is worth reading. */
  bounded: boolean;
  /** How many members its objects have, however often a name is repeated. */
  members: number;
}

/**
 * Looks over a JSON text once, before anything is made of it. What reads, transforms and checks values does so
 * recursively and once for each of them: 64 KiB of brackets overflow its stack, and 64 KiB of members keep it busy for long.
 */
export function outlineJson(text: string): JsonOutline {
  let levels = 0;
  let commas = 0;
  let members = 0;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] as string;
    if (character === '"') index = endOfString(text, index);
    else if (character === '[' || character === '{') levels += 1;
    else if (character === ']' || character === '}') levels -= 1;
    else if (character === ',') commas += 1;
    else if (character === ':') members += 1;
    if (levels > MOST_LEVELS || commas > MOST_COMMAS) return { bounded: false, members };
  }
  return { bounded: true, members };
}

/** Where the string that begins at `index` ends. */
function endOfString(text: string, index: number): number {
  for (let end = index + 1; end < text.length; end += 1) {
    if (text[end] === '\\') end += 1;
    else if (text[end] === '"') return end;
  }
  return text.length;
}

/** How many members the objects of a value have, its nested ones included. Of bounded values only: it is recursive. */
export function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const inside = Object.values(value).reduce<number>((sum, entry) => sum + countMembers(entry), 0);
  return Array.isArray(value) ? inside : inside + Object.keys(value).length;
}
