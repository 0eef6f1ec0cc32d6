import { type Browser, chromium, type Page } from 'playwright-core';
import { startApp, type TestApp } from './support/app';
import { describeWhereInstalled, programPath } from './support/installed';
import { createKey, newcomer, sessionIdOf, signUp } from './support/people';

/** A host name that is not localhost, as of a machine in the office. */
const HOST = 'latchkey.test';

describeWhereInstalled('chromium', 'the documentation page in a browser', () => {
  let app: TestApp;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  let foreign: string[];

  beforeAll(async () => {
    app = await startApp();
    browser = await chromium.launch({
      executablePath: programPath('chromium') ?? '',
      args: [
        '--no-sandbox',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
        `--host-resolver-rules=MAP ${HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
      ],
    });
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await app.close();
  });

  beforeEach(async () => {
    complaints = [];
    foreign = [];
    page = await browser.newPage();
    // Policy violations are console errors too.
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol !== 'data:' && url.hostname !== HOST) foreign.push(request.url());
    });
  });
  afterEach(() => page.close());

  const open = (path: string) => page.goto(`http://${HOST}:${new URL(app.url).port}${path}`);

  /** Unfolds an operation, executes it as it stands or with a body of ours, and gives the status that the page shows. */
  const execute = async (
    operationId: string,
    body?: object,
    fill: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<string> => {
    const operation = page.locator(`[id$="-${operationId}"]`);
    await operation.locator('button.opblock-summary-control').click();
    if (body) await operation.locator('textarea.body-param__text').fill(JSON.stringify(body));
    await fill();
    await operation.locator('button.execute').click();
    return operation.locator('.live-responses-table tbody .response-col_status').first().innerText();
  };

  it('signs in with the example as it stands, is authorized by that, and reads the profile', async () => {
    await app.inDatabase((tx) => tx.query('DELETE FROM users'));
    await signUp(app, {
      username: 'jane.doe',
      email: 'jane.doe@example.com',
      password: 'tidal-lantern-47-orchid',
    });
    await open('/docs');
    await page.locator('button.authorize.unlocked').waitFor();

    expect(await execute('login')).toMatch(/^200/);
    await page.locator('button.authorize.locked').waitFor();
    expect(await execute('getProfile')).toMatch(/^200/);
    const profile = page.locator('[id$="-getProfile"] .live-responses-table tbody .response-col_description');
    expect(await profile.first().innerText()).toContain('"username": "jane.doe"');

    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
  }, 60_000);

  it('sends a key that was entered in place of the token that it has of itself', async () => {
    const { username, password, token } = await newcomer(app);
    const { apiKey } = await createKey(app, token);
    await open('/docs');
    expect(await execute('login', { username, password })).toMatch(/^200/);
    await page.locator('button.authorize.locked').waitFor();

    await page.locator('button.authorize.locked').click();
    const dialog = page.locator('.dialog-ux');
    await dialog.locator('#api_key_value').fill(apiKey);
    await dialog.locator('.auth-container', { hasText: 'apiKey' }).locator('button.authorize').click();
    await dialog.locator('button.btn-done').first().click();
    const called = page.waitForRequest((request) => request.url().endsWith('/users/me'));
    expect(await execute('getProfile')).toMatch(/^200/);

    const headers = (await called).headers();
    expect([headers['x-api-key'], headers['authorization']]).toEqual([apiKey, undefined]);
    expect(complaints).toEqual([]);
  }, 60_000);

  it('forgets the token with a logout, and keeps nothing of it in the browser', async () => {
    const { username, password } = await newcomer(app);
    await open('/docs');
    expect(await execute('login', { username, password })).toMatch(/^200/);
    await page.locator('button.authorize.locked').waitFor();
    const kept = () =>
      page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])');
    expect(await kept()).toBe('[{},{},""]');

    expect(await execute('logout')).toMatch(/^200/);
    await page.locator('button.authorize.unlocked').waitFor();
    expect(await execute('getProfile')).toMatch(/^401/);

    expect(await kept()).toBe('[{},{},""]');
  }, 60_000);

  it.each(['deleteAccount', 'endSessions', 'endSession'])(
    'forgets the token when %s ends its session, and not before',
    async (operationId) => {
      const person = await newcomer(app);
      const { username, password } = person;
      await open('/docs');
      const answer = page.waitForResponse((response) => response.url().endsWith('/auth/login'));
      expect(await execute('login', { username, password })).toMatch(/^200/);
      await page.locator('button.authorize.locked').waitFor();
      const own = sessionIdOf((await (await answer).json()) as { token: string });
      const parameter = page.locator(
        `[id$="-${operationId}"] .parameters input, [id$="-${operationId}"] .parameters select`,
      );

      if (operationId === 'endSession') {
        expect(await execute(operationId, undefined, () => parameter.fill(sessionIdOf(person)))).toMatch(
          /^204/,
        );
        await page.locator('button.authorize.locked').waitFor();
        await parameter.fill(own);
        await page.locator(`[id$="-${operationId}"] button.execute`).click();
      } else if (operationId === 'endSessions') {
        expect(await execute(operationId, undefined, () => parameter.selectOption('current'))).toMatch(
          /^204/,
        );
        await page.locator('button.authorize.locked').waitFor();
        await parameter.selectOption('');
        await page.locator(`[id$="-${operationId}"] button.execute`).click();
      } else {
        expect(await execute(operationId, { password })).toMatch(/^204/);
      }

      await page.locator('button.authorize.unlocked').waitFor();
      expect(await execute('getProfile')).toMatch(/^401/);
    },
    60_000,
  );

  it('is authorized by a refresh too', async () => {
    const { refreshToken } = await newcomer(app);
    await open('/docs');
    await page.locator('button.authorize.unlocked').waitFor();

    expect(await execute('refresh', { refreshToken })).toMatch(/^200/);
    await page.locator('button.authorize.locked').waitFor();
    expect(await execute('getProfile')).toMatch(/^200/);

    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
  }, 60_000);

  it('is where the root leads', async () => {
    await open('/');

    expect(new URL(page.url()).pathname).toBe('/docs');
    expect(await page.title()).toBe('Latchkey API');
    expect(complaints).toEqual([]);
  });

  it.each(['/docs', '/docs?x=1'])(
    'keeps the policy that every other answer has, but for what it needs itself: %s',
    async (path) => {
      const { headers } = await app.fetch(path);

      expect(headers.get('content-security-policy')).toContain("script-src 'self';");
      expect(headers.get('content-security-policy')).not.toContain('upgrade-insecure-requests');
      expect(headers.get('x-frame-options')).toBe('DENY');
    },
  );
});
