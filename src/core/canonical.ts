/**
 * The form in which names are compared: NFKC, then lower case. It is stored beside the form that was typed, in a column
 * of its own, so that no engine's collation decides who is who.
 */
export function canonical(text: string): string {
  return text.normalize('NFKC').toLowerCase();
}

/** Length as a person counts it: code points, not UTF-16 units (NIST SP 800-63B section 3.1.1.2). */
export function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
