import { KeyRing } from './key-ring';
import { type RefreshToken, RefreshTokenFormat } from './refresh-token-format';

const keysOf = (master: string, previous: string[] = []) => new KeyRing({ master, previous }).refreshToken;

const TOKEN: RefreshToken = {
  sessionId: 'sess_01k9v3cde8f2mreav4z6w2x5td',
  generation: 3,
  nonce: Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'),
};

describe('a refresh token', () => {
  const format = new RefreshTokenFormat(keysOf('one'));

  it('reads as it was written', () => {
    expect(format.decode(format.encode(TOKEN))).toEqual(TOKEN);
  });

  it('is a function of session, generation and nonce, so that it can be made again', () => {
    expect(format.encode(TOKEN)).toBe(format.encode({ ...TOKEN }));
    expect(format.encode({ ...TOKEN, generation: 4 })).not.toBe(format.encode(TOKEN));
  });

  it('is refused with any one bit flipped', () => {
    const bytes = Buffer.from(format.encode(TOKEN).slice(3), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(format.decode(`rt_${flipped.toString('base64url')}`)).toBeUndefined();
    }
  });

  it('is refused when it is shorter or longer', () => {
    const text = format.encode(TOKEN);
    for (const other of [text.slice(0, -1), text.slice(0, -4), `${text}A`, `${text}AAAA`, text.slice(3)]) {
      expect(format.decode(other)).toBeUndefined();
    }
  });

  it('is verified with previous secrets too, and signed with the current one only', () => {
    const rotated = new RefreshTokenFormat(keysOf('two', ['one']));

    expect(rotated.decode(format.encode(TOKEN))).toEqual(TOKEN);
    expect(format.decode(rotated.encode(TOKEN))).toBeUndefined();
  });
});

describe('the keys', () => {
  it('differ from purpose to purpose', () => {
    const { accessToken, refreshToken } = new KeyRing({ master: 'one', previous: [] });

    expect(accessToken.current.equals(refreshToken.current)).toBe(false);
  });

  it('of access tokens are the configured secret alone, where there is one', () => {
    const { accessToken } = new KeyRing({
      master: 'one',
      previous: ['two'],
      accessToken: 'shared with others',
    });

    expect(accessToken.accepted.map((key) => key.export().toString())).toEqual(['shared with others']);
  });
});
