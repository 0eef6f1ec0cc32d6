import { SystemRandom } from '../core/random';
import { ApiKeyFormat } from '../crypto/api-key-format';
import { type Candidate, findKeys } from './key-finder';

const key = new ApiKeyFormat('live').generate(new SystemRandom());
const testKey = new ApiKeyFormat('test').generate(new SystemRandom());
const lookalike = `sk_live_${'0'.repeat(38)}`;

async function* inChunks(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let start = 0; start < bytes.length; start += size) {
    await Promise.resolve();
    yield bytes.subarray(start, start + size);
  }
}

const find = async (text: string, size = 65_536): Promise<Candidate[]> => {
  const found: Candidate[] = [];
  for await (const candidate of findKeys(inChunks(text, size))) found.push(candidate);
  return found;
};

describe('finding keys', () => {
  it('tells where they are, which look real, and never the whole of one', async () => {
    const found = await find(`KEY=${key}\n\n  ${lookalike}, "${testKey}"\n`);

    expect(found).toEqual([
      { line: 1, column: 5, masked: `${key.slice(0, 12)}…`, checksum: true },
      { line: 3, column: 3, masked: 'sk_live_0000…', checksum: false },
      { line: 3, column: 52, masked: `${testKey.slice(0, 12)}…`, checksum: true },
    ]);
  });

  it.each([1, 2, 7, 45, 46, 47, 63, 64, 65, 100, 1000])(
    'finds the same in chunks of %i bytes',
    async (size) => {
      const text = `é\n${key}\n${'x'.repeat(70)} ${testKey}${'\n'.repeat(80)}${lookalike}\n${key}`;

      expect(await find(text, size)).toEqual(await find(text));
      expect(await find(text)).toHaveLength(4);
    },
  );

  it.each([
    ['one character too many', `${key}0`],
    ['one too few', key.slice(0, -1)],
    ['something glued to its front', `x${key}`],
    ['another prefix', key.replace('sk_live', 'sk_prod')],
  ])('passes over %s', async (_, text) => {
    expect(await find(text)).toEqual([]);
    expect(await find(text, 1)).toEqual([]);
  });

  it('finds them between bytes of any kind', async () => {
    const binary = Buffer.concat([Buffer.from([0, 255, 10]), Buffer.from(key), Buffer.from([0, 200])]);
    const found: Candidate[] = [];
    for await (const candidate of findKeys(
      (async function* () {
        await Promise.resolve();
        yield binary;
      })(),
    ))
      found.push(candidate);

    expect(found).toEqual([{ line: 2, column: 1, masked: `${key.slice(0, 12)}…`, checksum: true }]);
  });
});
