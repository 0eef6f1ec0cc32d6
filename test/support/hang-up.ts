import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { TestApp } from './app';
import { signUp } from './people';
import type { TestFailpoints } from './test-failpoints';

/** Somebody signs in and hangs up while that is under way; returns once the service knows, and then lets it go on. */
export async function loginHungUpOn(
  app: TestApp,
  failpoints: TestFailpoints,
  headers: Record<string, string> = {},
): Promise<void> {
  const { username, password } = await signUp(app);
  const held = failpoints.hold('login:password_verified');
  const client = new AbortController();
  const asked = once(app.nest.getHttpServer(), 'request') as Promise<[unknown, ServerResponse]>;
  const login = fetch(`${app.url}/api/v1/auth/login`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
    ...{ body: JSON.stringify({ username, password }), signal: client.signal },
  });
  const [, response] = await asked;
  await held.reached;
  const left = once(response, 'close');
  client.abort();
  await expect(login).rejects.toThrow('abort');
  await left;
  held.release();
}
