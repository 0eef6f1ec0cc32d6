import { startApp, type TestApp } from './support/app';
import { logIn, newcomer, signUp } from './support/people';
import { sendRaw } from './support/raw-http';

/** Speaks HTTP by hand: several headers of one name, as chains of proxies send them. */
async function sendByHand(
  url: string,
  path: string,
  headers: [string, string][],
  body: string,
): Promise<number | undefined> {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const [answer] = await sendRaw(
    url,
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${lines}\r\n${body}`,
  );
  return answer?.status;
}

describe("a client's address", () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  /** The address that a sign-in with these headers is written down with. */
  const addressOf = async (headers: [string, string][]): Promise<string> => {
    const { id, username, password } = await signUp(app);
    const status = await sendByHand(
      app.url,
      '/api/v1/auth/login',
      headers,
      JSON.stringify({ username, password }),
    );
    expect(status).toBe(200);
    const [session] = await app.rows<{ ip: string }>('SELECT ip FROM sessions WHERE user_id = ?', [id]);
    return session?.ip ?? '';
  };

  const xff = (...values: string[]) => values.map((value): [string, string] => ['X-Forwarded-For', value]);

  const spoofed: [string, string][] = [
    ...xff('192.0.2.1'),
    ['Forwarded', 'for=192.0.2.1;proto=https'],
    ['X-Real-IP', '192.0.2.1'],
    ['X-Client-IP', '192.0.2.1'],
    ['True-Client-IP', '192.0.2.1'],
  ];

  /** Starts it anew where that is another setting than the last. */
  const trusting = async (proxies: string | undefined): Promise<void> => {
    if (proxies !== trusted) await app.restart(proxies === undefined ? {} : { TRUST_PROXY: proxies });
    trusted = proxies;
  };
  let trusted: string | undefined;

  it.each<[string | undefined, string, [string, string][], string]>([
    [undefined, 'any header', spoofed, '127.0.0.1'],
    ['192.0.2.0/24', 'a hop that is not in the range', spoofed, '127.0.0.1'],
    ['127.0.0.1', 'one hop', xff('192.0.2.1'), '192.0.2.1'],
    ['127.0.0.1', 'an entry left of the one that the proxy wrote', xff('192.0.2.66, 192.0.2.1'), '192.0.2.1'],
    ['127.0.0.1', 'entries in several headers', xff('192.0.2.66', '192.0.2.1'), '192.0.2.1'],
    ['127.0.0.1, 10.0.0.0/8', 'two hops', xff('192.0.2.66, 192.0.2.1, 10.1.2.3'), '192.0.2.1'],
    [
      '127.0.0.1, 10.0.0.0/8',
      'hops in several headers',
      xff('192.0.2.1', '10.1.2.3', '10.9.9.9'),
      '192.0.2.1',
    ],
    ['127.0.0.1, 10.0.0.0/8', 'only hops that are trusted', xff('10.1.2.3'), '10.1.2.3'],
    ['loopback, 10.0.0.0/8', 'a hop mapped into IPv6', xff('192.0.2.1, ::ffff:10.1.2.3'), '192.0.2.1'],
    ['loopback, 2001:db8:1::/48', 'a hop by IPv6', xff('2001:db8:2::5, 2001:DB8:1:0:0::7'), '2001:db8:2::5'],
    ['loopback', 'IPv6 in another spelling', xff('2001:0DB8:0:0:0:0:0:1'), '2001:db8::1'],
    ['loopback', 'IPv4 mapped into IPv6', xff('::ffff:192.0.2.1'), '192.0.2.1'],
    ['loopback', 'IPv4 mapped, in hexadecimal', xff('::FFFF:C000:201'), '192.0.2.1'],
    ['loopback', 'an entry with a port', xff('192.0.2.1:4711'), '192.0.2.1'],
    ['loopback', 'an IPv6 entry with a port', xff('[2001:db8::1]:4711'), '2001:db8::1'],
    ['loopback', 'an entry that is no address', xff('unknown'), '127.0.0.1'],
    ['loopback', 'an entry of any length', xff('x'.repeat(2000)), '127.0.0.1'],
    ['loopback', 'other headers than X-Forwarded-For', spoofed.slice(1), '127.0.0.1'],
    ['1', 'one hop by number', xff('192.0.2.66, 192.0.2.1'), '192.0.2.1'],
    ['2', 'two hops by number', xff('192.0.2.66, 192.0.2.1, 10.1.2.3'), '192.0.2.1'],
    ['2', 'no address where the second hop should have written one', xff('<script>, 10.1.2.3'), '10.1.2.3'],
    ['0', 'no hop by number', xff('192.0.2.1'), '127.0.0.1'],
  ])('with TRUST_PROXY=%s is, for %s %j, %s', async (TRUST_PROXY, _, headers, expected) => {
    await trusting(TRUST_PROXY);

    expect(await addressOf(headers)).toBe(expected);
  });

  it('is what the proxy says, however many headers the client puts before that', async () => {
    await trusting('loopback');
    // As many as there is room for in the bytes that headers may have.
    const fillers = Array.from({ length: 1_500 }, (_, index): [string, string] => [`x${index}`, '']);

    expect(await addressOf([...fillers, ...xff('192.0.2.1')])).toBe('192.0.2.1');
  });
});

describe('readiness', () => {
  let app: TestApp;
  afterEach(() => app.close());

  const warnings = async (): Promise<string[] | undefined> => {
    const response = await app.fetch('/health/ready');
    expect(response.status).toBe(200);
    const { status, ...rest } = (await response.json()) as { status: string; warnings?: string[] };
    expect(status).toBe('ok');
    return rest.warnings;
  };
  const warned = () =>
    app.logged.filter(({ level, msg }) => level === 'warn' && /TRUST_PROXY/.test(String(msg)));
  const forwarded = { 'X-Forwarded-For': '192.0.2.1' };

  it('warns of forwarded addresses from a hop that is not trusted, with the setting to change', async () => {
    app = await startApp();
    expect(await warnings()).toBeUndefined();

    for (let count = 0; count < 5; count += 1) await app.fetch('/health/live', { headers: forwarded });

    expect(await warnings()).toEqual([expect.stringMatching(/not trusted.*set TRUST_PROXY/)]);
    expect(warned()).toHaveLength(1);
  });

  it.each(['loopback', '1'])('does not when TRUST_PROXY=%s', async (TRUST_PROXY) => {
    app = await startApp({ TRUST_PROXY });

    await app.fetch('/health/live', { headers: forwarded });

    expect(await warnings()).toBeUndefined();
    expect(warned()).toEqual([]);
  });

  it('warns when twenty sign-ins in a row, in production, come from one private address', async () => {
    app = await startApp({ NODE_ENV: 'production' });
    const person = await newcomer(app);
    for (let count = 1; count < 19; count += 1) await logIn(app, person);
    expect(await warnings()).toBeUndefined();

    await logIn(app, person);

    expect(await warnings()).toEqual([expect.stringMatching(/one private address.*set TRUST_PROXY/)]);
    await logIn(app, person);
    expect(warned()).toHaveLength(1);
  });

  it('counts those that fail as well, and takes the warning back when others come', async () => {
    app = await startApp({ NODE_ENV: 'production', TRUST_PROXY: 'loopback' });
    const guess = (count: number, headers: Record<string, string> = {}) =>
      app.call('POST', '/auth/login', { body: { username: `nobody-${count}`, password: 'x' }, headers });
    for (let count = 0; count < 20; count += 1) await guess(count);
    expect(await warnings()).toHaveLength(1);

    await guess(20, forwarded);

    expect(await warnings()).toBeUndefined();
  });

  it('does not warn of one public address, nor on the machine of a developer', async () => {
    app = await startApp({ NODE_ENV: 'production', TRUST_PROXY: 'loopback' });
    const person = await signUp(app);
    for (let count = 0; count < 25; count += 1) await logIn(app, person, forwarded);
    expect(await warnings()).toBeUndefined();

    await app.restart({ NODE_ENV: 'development' });
    for (let count = 0; count < 25; count += 1) await logIn(app, person);

    expect(await warnings()).toBeUndefined();
  });
});
