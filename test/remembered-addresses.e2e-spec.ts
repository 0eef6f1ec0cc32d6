import { setImmediate as nextTurn } from 'node:timers/promises';
import { addressBlock } from '../src/rate-limit/address-block';
import { RateLimits } from '../src/rate-limit/rate-limits';
import { startApp, type TestApp } from './support/app';
import { signUp } from './support/people';

const times = async <T>(count: number, one: () => Promise<T>) => {
  for (let done = 0; done < count; done += 1) await one();
};

describe('limits', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp({ TRUST_PROXY: 'loopback' })));
  afterAll(() => app.close());

  it('hold for an attacked account, and in bounded memory, while 200,000 networks come by', async () => {
    const { username, password } = await signUp(app);
    const guess = (body: object) =>
      app.call('POST', '/auth/login', { body, headers: { 'X-Forwarded-For': '192.0.2.99' } });
    await times(10, () => guess({ username, password: 'a guess' }));
    const limits = app.nest.get(RateLimits);
    const origin = { ip: '', userAgent: null, requestId: 'req_of_the_test' };

    for (let index = 0; index < 200_000; index += 1) {
      // The server's end of the connection closes meanwhile, and its client has to hear of it before it calls again.
      if (index % 1_000 === 0) await nextTurn();
      const address = `2001:db8:${(index >> 16).toString(16)}:${(index & 65_535).toString(16)}::1`;
      await limits.take('login-address', addressBlock(address), { userId: null, origin });
    }

    // Those of the other limits are a handful.
    expect(limits.held).toBeLessThanOrEqual(20_000 + 100);
    expect((await guess({ username, password })).status).toBe(429);
  }, 240_000);

  describe('hold for an address, while more addresses than are remembered', () => {
    const origin = { userAgent: null, requestId: 'req_of_the_test' };
    const take = (ip: string) =>
      app.nest.get(RateLimits).takeAddress('login-address', { userId: null, origin: { ip, ...origin } });

    /** What becomes of an address that has used up its limit, once `crowd` has come by. */
    const afterwards = (ip: string, crowd: (address: string, index: number) => Promise<unknown>) =>
      app.clock.suspendedDuring(async () => {
        await times(100, () => take(ip));
        for (let index = 0; index < 21_000; index += 1) {
          if (index % 1_000 === 0) await nextTurn();
          await crowd(`2001:db9:${ip.slice(-2)}:${index.toString(16)}::1`, index);
        }
        return take(ip);
      });

    it('are given back what they took', async () => {
      const again = afterwards('192.0.2.98', async (address) => (await take(address)).giveBack());

      await expect(again).rejects.toMatchObject({ code: 'rate_limited' });
    }, 60_000);

    it('are refused for their network', async () => {
      let refused = 0;
      const again = afterwards('192.0.2.97', (address) => take(address).catch(() => (refused += 1)));

      await expect(again).rejects.toMatchObject({ code: 'rate_limited' });
      expect(refused).toBe(20_000);
    }, 60_000);
  });
});
