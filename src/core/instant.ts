/** The instant `seconds` after `instant`. */
export function addSeconds(instant: Date, seconds: number): Date {
  return new Date(instant.getTime() + seconds * 1000);
}

/** The earlier of two instants. */
export function earlier(a: Date, b: Date): Date {
  return a <= b ? a : b;
}

/** Whole seconds since 1970-01-01T00:00:00Z, rounded down (NumericDate, RFC 7519 section 2). */
export function toNumericDate(instant: Date): number {
  return Math.floor(instant.getTime() / 1000);
}

/**
 * Whether the calendar has the day that a text in the form of RFC 3339 begins with. `Date` takes the 30th of February
 * for the 2nd of March, and what is a slip would pass for what was meant.
 */
export function beginsWithRealDay(text: string): boolean {
  const day = text.slice(0, 'YYYY-MM-DD'.length);
  const midnight = new Date(`${day}T00:00:00Z`);
  return !isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day);
}

/** RFC 3339, UTC, whole seconds: `2023-10-27T10:00:00Z`. Fractions are cut off, not rounded. */
export function formatInstant(instant: Date): string {
  return `${instant.toISOString().slice(0, 19)}Z`;
}
