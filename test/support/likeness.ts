/**
 * How far two samples can be told apart by size, from 0 (not at all) to 1 (every one of one is larger than every one of the
 * other): twice the distance of Mann and Whitney's U / (n × m) from one half. An effect size: unlike a p-value it does not
 * grow with the number of samples, and unlike a difference of means it cares nothing for outliers.
 */
export function separation(a: readonly number[], b: readonly number[]): number {
  const sorted = [
    ...a.map((value) => ({ value, fromA: true })),
    ...b.map((value) => ({ value, fromA: false })),
  ].sort((one, other) => one.value - other.value);
  let rankSum = 0;
  for (let index = 0; index < sorted.length;) {
    let end = index;
    while (end < sorted.length && sorted[end]?.value === sorted[index]?.value) end += 1;
    // Equal values share the mean of their ranks.
    const rank = (index + 1 + end) / 2;
    for (; index < end; index += 1) if (sorted[index]?.fromA) rankSum += rank;
  }
  const u = rankSum - (a.length * (a.length + 1)) / 2;
  return Math.abs((2 * u) / (a.length * b.length) - 1);
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? NaN;
}
