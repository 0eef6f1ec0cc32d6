import { startApp, type TestApp } from './support/app';

describe('health', () => {
  let app: TestApp;
  beforeAll(async () => (app = await startApp()));
  afterAll(() => app.close());

  const check = async (path: string) => {
    const response = await app.fetch(path);
    return [response.status, await response.json()];
  };

  it('is alive and ready', async () => {
    expect(await check('/health/live')).toEqual([200, { status: 'ok' }]);
    expect(await check('/health/ready')).toEqual([200, { status: 'ok' }]);
  });
});
