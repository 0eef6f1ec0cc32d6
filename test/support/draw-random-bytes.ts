import { SystemRandom } from '../../src/core/random';

/** Writes draws of 16 random bytes to standard output, as many as it is told. */
const random = new SystemRandom();
const draws = Array.from({ length: Number(process.argv[2]) }, () => random.bytes(16));
process.stdout.write(Buffer.concat(draws));
