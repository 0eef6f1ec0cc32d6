import type { ServerResponse } from 'node:http';
import { startApp, type TestApp } from './support/app';
import { newcomer, type Person } from './support/people';
import { digestOf, line, type RangeService, startRangeService } from './support/range-service';

const PASSWORD = 'swift otter paints';

interface Refusal {
  details: { field: string; rule: string }[];
}

describe('the breached-password service', () => {
  let service: RangeService;
  let app: TestApp;
  beforeAll(async () => {
    service = await startRangeService();
    app = await startApp({ BREACHED_PASSWORDS_URL: service.url });
  });
  afterAll(async () => {
    await app.close();
    await service.close();
  });
  beforeEach(() => {
    service.asked.length = 0;
    app.logged.length = 0;
  });

  let count = 0;
  const register = () => {
    count += 1;
    const owner = { username: `newcomer-${count}`, email: `newcomer-${count}@example.com` };
    return app.call<Refusal & { id: string }>('POST', '/users', { body: { ...owner, password: PASSWORD } });
  };
  const eventsOf = async (userId: string) =>
    (
      await app.rows<{ type: string }>('SELECT type FROM audit_events WHERE user_id = ? ORDER BY id', [
        userId,
      ])
    ).map(({ type }) => type);
  const warnings = () => app.logged.filter(({ level }) => level === 'warn');

  it('is told five digits of a digest and asked for padding', async () => {
    service.answerWith((_, response) => response.end(line('another', 3)));

    const { status } = await register();

    expect(status).toBe(201);
    expect(service.asked).toHaveLength(1);
    expect(service.asked[0]?.path).toBe(`/range/${digestOf(PASSWORD).slice(0, 5)}`);
    expect(service.asked[0]?.headers).toMatchObject({ 'add-padding': 'true', 'user-agent': 'Latchkey' });
    expect(warnings()).toEqual([]);
  });

  it.each([
    ['alone', [line(PASSWORD, 1)]],
    ['among others', [line('another', 3), line(PASSWORD, 77), line('a third', 1)]],
    ['in small letters', [line(PASSWORD, 2).toLowerCase()]],
  ])('has a password refused that it knows, %s', async (_, lines) => {
    service.answerWith((_request, response) => response.end(lines.join('\r\n')));

    const { status, body } = await register();

    expect(status).toBe(400);
    expect(body.details).toEqual([expect.objectContaining({ field: 'password', rule: 'isNotBreached' })]);
  });

  it('has it refused at a password change too', async () => {
    service.answerWith((_, response) => response.end(line(PASSWORD, 4)));
    const person = await newcomer(app);

    const { status, body } = await changePassword(app, person);

    expect(status).toBe(400);
    expect(body.details).toEqual([expect.objectContaining({ field: 'newPassword', rule: 'isNotBreached' })]);
  });

  it('may pad its answer with digests that were never seen', async () => {
    service.answerWith((_, response) => response.end([line(PASSWORD, 0), line('another', 3)].join('\r\n')));

    expect((await register()).status).toBe(201);
  });

  it('is not asked about a password that is refused anyway', async () => {
    const { status } = await app.call('POST', '/users', {
      body: { username: 'unasked', email: 'unasked@example.com', password: 'password123' },
    });

    expect(status).toBe(400);
    expect(service.asked).toEqual([]);
  });

  it.each<[string, (response: ServerResponse) => unknown, RegExp]>([
    ['is broken', (response) => response.writeHead(500).end('no'), /status 500/],
    ['refuses', (response) => response.writeHead(403).end(line(PASSWORD, 1)), /status 403/],
    ['hangs up', (response) => response.destroy(), /./],
    [
      'says something else',
      (response) => response.end('<html>Sign in to this network</html>'),
      /another form/,
    ],
    ['says nothing', (response) => response.end(), /empty/],
    ['does not answer', () => undefined, /no answer in time/],
    [
      'begins and does not end',
      (response) => response.write(`${line('another', 3)}\r\n`),
      /no answer in time/,
    ],
    ['never comes to an end', (response) => pourForEver(response), /too long/],
    [
      'leads elsewhere',
      (response) => response.writeHead(302, { location: `${service.url}/elsewhere` }).end(),
      /redirect/,
    ],
  ])('keeps nobody out when it %s: that is logged and written down', async (_, answer, reason) => {
    service.answerWith((_request, response) => void answer(response));

    const { status, body } = await register();

    expect(status).toBe(201);
    expect(service.asked).toHaveLength(1);
    expect(await eventsOf(body.id)).toEqual(['account_created', 'breach_check_failed']);
    expect(warnings()).toEqual([
      expect.objectContaining({
        reason: expect.stringMatching(reason) as string,
        msg: 'The breached-password service did not answer as it should; a password was accepted without it',
      }),
    ]);
    expect(JSON.stringify(app.logged)).not.toContain(digestOf(PASSWORD).slice(0, 5));
  });

  it('keeps nobody from changing a password either', async () => {
    const person = await newcomer(app);
    service.answerWith((_, response) => response.writeHead(500).end());
    const before = await eventsOf(person.id);

    const { status } = await changePassword(app, person);

    expect(status).toBe(204);
    const added = (await eventsOf(person.id)).slice(before.length);
    expect(added.sort()).toEqual(['breach_check_failed', 'password_changed']);
  });

  it('is asked nothing unless it is configured', async () => {
    await app.restart({ BREACHED_PASSWORDS_URL: '' });

    const { status, body } = await register();

    expect(status).toBe(201);
    expect(service.asked).toEqual([]);
    expect(await eventsOf(body.id)).toEqual(['account_created']);
  });
});

function changePassword(app: TestApp, { token, password }: Person & { token: string }) {
  const body = { currentPassword: password, newPassword: PASSWORD };
  return app.call<Refusal>('POST', '/users/me/password', { token, body });
}

/** Well-formed lines without end, for as long as somebody reads. */
function pourForEver(response: ServerResponse): void {
  const chunk = `${line('another', 3)}\r\n`.repeat(1_000);
  const pour = (): void => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', pour);
  pour();
}
