import { SystemClock } from '../core/clock';
import { Ids } from '../core/ids';
import { SystemRandom } from '../core/random';
import { DEVICE_ID_BYTES, DeviceTokenFormat } from './device-token-format';
import { KeyRing } from './key-ring';

const random = new SystemRandom();
const ring = (master: string, previous: string[] = []) =>
  new KeyRing({ master: master.repeat(32), previous });
const format = new DeviceTokenFormat(ring('a').deviceToken);
const token = {
  userId: new Ids(new SystemClock(), random).next('user'),
  credentialVersion: 7,
  deviceId: random.bytes(DEVICE_ID_BYTES),
};

describe('a device token', () => {
  it('says of which account, password and device it is', () => {
    expect(format.decode(format.encode(token))).toEqual(token);
    expect(format.encode(token)).toMatch(/^dt_[\w-]{92}$/);
  });

  it('is refused with any one bit flipped', () => {
    const bytes = Buffer.from(format.encode(token).slice(3), 'base64url');

    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const forged = Buffer.from(bytes);
      forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(format.decode(`dt_${forged.toString('base64url')}`)).toBeUndefined();
    }
  });

  it.each([
    ['nothing', () => ''],
    ['another prefix', (text: string) => text.replace('dt_', 'rt_')],
    ['padding', (text: string) => `${text}=`],
    ['a character that decoding would skip', (text: string) => `${text.slice(0, 20)} ${text.slice(20)}`],
    ['its beginning', (text: string) => text.slice(0, -4)],
    ['more behind it', (text: string) => `${text}AAAA`],
  ])('is refused as %s', (_, change) => {
    expect(format.decode(change(format.encode(token)))).toBeUndefined();
  });

  it('is good under a previous master secret, and under no other', () => {
    const text = format.encode(token);

    const changed = new DeviceTokenFormat(ring('b', ['a'.repeat(32)]).deviceToken);
    expect(changed.decode(text)).toEqual(token);
    expect(changed.encode(token)).not.toBe(text);
    expect(new DeviceTokenFormat(ring('b').deviceToken).decode(text)).toBeUndefined();
    expect(new DeviceTokenFormat(ring('a').refreshToken).decode(text)).toBeUndefined();
  });
});
