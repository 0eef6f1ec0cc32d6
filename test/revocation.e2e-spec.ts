import { RevocationFeed } from '../src/revocation/revocation-feed';
import { startApp, type TestApp } from './support/app';
import { newcomer, statusWith } from './support/people';

describe('what is known of a revocation', () => {
  let app: TestApp;
  beforeEach(async () => (app = await startApp({ ACCESS_TOKEN_TTL: '60' })));
  afterEach(() => app.close());

  const remembered = () => app.nest.get(RevocationFeed).remembered;

  /** Lets a poll come round that also tidies up. */
  const poll = async () => {
    app.clock.push(11);
    await app.nest.get(RevocationFeed).poll();
  };

  it('is forgotten by the memory when the last token concerned has expired', async () => {
    const people = [await newcomer(app), await newcomer(app), await newcomer(app)];
    for (const { token } of people) await app.call('POST', '/auth/logout', { token });

    // A minute for the token, ten seconds in which a repeated refresh may hand out another one.
    app.clock.advance(69);
    await poll();
    expect(remembered()).toBe(3);

    app.clock.advance(1);
    await poll();
    expect(remembered()).toBe(0);
  });

  it('is not read again once it has been forgotten', async () => {
    const { token } = await newcomer(app);
    await app.call('POST', '/auth/logout', { token });
    app.clock.advance(70);

    await app.restart();

    expect(remembered()).toBe(0);
  });

  it('holds for as long as a token may be valid though the setting has been lowered since', async () => {
    await app.restart({ ACCESS_TOKEN_TTL: '3600' });
    const person = await newcomer(app);
    await app.call('POST', '/auth/logout', { token: person.token });
    await app.restart({ ACCESS_TOKEN_TTL: '1' });

    app.clock.advance(3599);
    await poll();

    expect(await statusWith(app, person)).toBe(401);
    expect(remembered()).toBe(1);
  });
});
