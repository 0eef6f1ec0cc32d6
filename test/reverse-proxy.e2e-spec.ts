import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http, { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { startApp, type TestApp } from './support/app';
import { Certificates } from './support/certificates';
import { describeWhereInstalled } from './support/installed';
import { freePort } from './support/mariadb-server';
import { documentedBalancer, Nginx } from './support/nginx';
import { createKey, newcomer, operator, type Person } from './support/people';

/** What the protected service was asked. */
interface Received {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** The configuration that the documentation shows, on the ports of this test. */
function documentedSite(ports: { latchkey: string; upstream: number; proxy: number }): string {
  const page = readFileSync(join(__dirname, '..', 'docs', 'api-keys.md'), 'utf8');
  const site = /^```nginx\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '';
  return site
    .replace('server 127.0.0.1:3000', `server 127.0.0.1:${ports.latchkey}`)
    .replaceAll('http://127.0.0.1:9000', `http://127.0.0.1:${ports.upstream}`)
    .replace('listen 127.0.0.1:8080', `listen 127.0.0.1:${ports.proxy}`);
}

describeWhereInstalled('nginx', 'nginx in front of a service, as the documentation configures it', () => {
  let app: TestApp;
  let upstream: Server;
  let nginx: Nginx;
  let received: Received[];
  let owner: Person & { token: string };

  beforeAll(async () => {
    app = await startApp({ TRUST_PROXY: '127.0.0.1' });
    upstream = createServer((request, response) => {
      void text(request).then((body) => {
        const { method = '', url = '', headers } = request;
        received.push({ method, url, headers, body });
        response.end('the service');
      });
    }).listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const proxy = await freePort();
    const ports = {
      latchkey: new URL(app.url).port,
      upstream: (upstream.address() as AddressInfo).port,
      proxy,
    };
    nginx = await Nginx.start(documentedSite(ports), proxy);
  });
  beforeEach(async () => {
    received = [];
    owner = await newcomer(app);
  });
  afterAll(async () => {
    await nginx.remove();
    upstream.close();
    upstream.closeAllConnections();
    await app.close();
  });

  const ask = (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${nginx.port}${path}`, { ...init, headers });

  const bearer = () => ({ authorization: `Bearer ${owner.token}` });

  /** What a client would send to pass for somebody else. */
  const SPOOFED = {
    'x-auth-user-id': 'user_00000000000000000000000000',
    'x-auth-username': 'admin',
    'x-auth-credential': 'session',
    'x-auth-credential-id': 'sess_00000000000000000000000000',
    'x-auth-scopes': '*',
  };

  it.each<[string, () => Record<string, string>]>([
    ['nobody', () => ({})],
    ['a bad token', () => ({ authorization: `Bearer ${owner.token}x` })],
    ['a bad key', () => ({ 'x-api-key': `sk_live_${'0'.repeat(38)}` })],
    ['somebody who names himself', () => SPOOFED],
  ])('keeps %s out, and asks the service nothing', async (_, headers) => {
    const response = await ask('/', headers());

    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(received).toEqual([]);
  });

  it('lets a signed-in user through and tells the service who it is', async () => {
    const response = await ask('/any/path?and=query', bearer());

    expect([response.status, await response.text()]).toEqual([200, 'the service']);
    expect(received).toMatchObject([
      {
        method: 'GET',
        url: '/any/path?and=query',
        headers: {
          'x-auth-user-id': owner.id,
          'x-auth-username': owner.username,
          'x-auth-credential': 'session',
          'x-auth-credential-id': expect.stringMatching(/^sess_/) as string,
          'x-auth-scopes': '*',
        },
      },
    ]);
  });

  it('lets a key through and tells the service who it is', async () => {
    const { apiKey, keyId } = await createKey(app, owner.token, { scopes: ['invoices:read'] });

    const response = await ask('/invoices/1', { 'x-api-key': apiKey });

    expect(response.status).toBe(200);
    expect(received[0]?.headers).toMatchObject({
      'x-auth-user-id': owner.id,
      'x-auth-username': owner.username,
      'x-auth-credential': 'api-key',
      'x-auth-credential-id': keyId,
      'x-auth-scopes': 'invoices:read',
    });
  });

  it('replaces identities that a client made up, and does not hand on the credential', async () => {
    const { apiKey, keyId } = await createKey(app, owner.token, { scopes: ['a:b'] });

    await ask('/', { ...SPOOFED, ...bearer() });
    await ask('/', { ...SPOOFED, 'x-api-key': apiKey });

    for (const { headers } of received) {
      expect(headers['x-auth-user-id']).toBe(owner.id);
      expect(headers['x-auth-username']).toBe(owner.username);
      expect([headers.authorization, headers['x-api-key']]).toEqual([undefined, undefined]);
    }
    expect(received.map(({ headers }) => headers['x-auth-scopes'])).toEqual(['*', 'a:b']);
    expect(received[1]?.headers['x-auth-credential-id']).toBe(keyId);
  });

  it('leaves nothing of what a client made up where there is nothing to replace it with', async () => {
    const { apiKey } = await createKey(app, owner.token, { scopes: ['a:b'] });
    await operator(app).setScopes(owner.id, 'c:d');

    const { status } = await ask('/', { ...SPOOFED, 'x-api-key': apiKey });

    expect(status).toBe(200);
    expect(received[0]?.headers).not.toHaveProperty('x-auth-scopes');
  });

  it('asks for the scope that the path needs: 403 without it', async () => {
    const { apiKey } = await createKey(app, owner.token, { scopes: ['invoices:write'] });

    const statuses = [];
    for (const path of ['/invoices/1', '/orders/1'])
      statuses.push((await ask(path, { 'x-api-key': apiKey })).status);

    expect(statuses).toEqual([403, 200]);
    expect(received.map(({ url }) => url)).toEqual(['/orders/1']);
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE'])('hands on %s with whatever body it has', async (method) => {
    const body = `<invoice>${'x'.repeat(100_000)}</invoice>`;

    const response = await ask('/', { ...bearer(), 'content-type': 'application/xml' }, { method, body });

    expect(response.status).toBe(200);
    expect(received).toMatchObject([{ method, body, headers: { 'content-type': 'application/xml' } }]);
  });

  it('judges the address of the client, which cannot make one up', async () => {
    const here = await createKey(app, owner.token, { allowedIps: ['127.0.0.0/8'] });
    const elsewhere = await createKey(app, owner.token, { allowedIps: ['192.0.2.1'] });
    const forged = { 'x-forwarded-for': '192.0.2.1' };

    const statuses = [];
    for (const { apiKey } of [here, elsewhere]) {
      statuses.push((await ask('/', { 'x-api-key': apiKey, ...forged })).status);
    }

    expect(statuses).toEqual([200, 401]);
  });

  it('keeps out what has been revoked, at once', async () => {
    expect((await ask('/', bearer())).status).toBe(200);

    await app.call('POST', '/auth/logout', { token: owner.token });

    expect((await ask('/', bearer())).status).toBe(401);
  });

  it('lets the holder of an old secret know', async () => {
    const { apiKey, keyId } = await createKey(app, owner.token);
    await app.call('POST', `/auth/keys/${keyId}/rotate`, {
      token: owner.token,
      body: { overlapSeconds: 60 },
    });

    const { status, headers } = await ask('/', { 'x-api-key': apiKey });

    expect([status, headers.get('deprecation')]).toEqual([200, '@1773480413']);
    expect(headers.get('sunset')).toBe('Sat, 14 Mar 2026 09:27:53 GMT');
    expect((await ask('/', bearer())).headers.get('sunset')).toBeNull();
  });

  it('does not let anybody ask in its name', async () => {
    expect((await ask('/_latchkey', bearer())).status).toBe(404);
  });
});

describeWhereInstalled('nginx', 'nginx in front of the API, as the documentation configures it', () => {
  it.each([
    ['has browsers ask for nothing but TLS from now on where it ends TLS', true],
    ['does not where it does not', false],
  ])('%s', async (_, encrypted) => {
    const app = await startApp({ TRUST_PROXY: '127.0.0.1' });
    const [certificates, port, instance] = [
      new Certificates(),
      await freePort(),
      Number(new URL(app.url).port),
    ];
    const { cert, key } = certificates.issue({ names: 'IP:127.0.0.1' });
    const site = documentedBalancer([instance, instance], port);
    const listening = `listen 127.0.0.1:${port}`;
    const overTls = `${listening} ssl; ssl_certificate ${cert}; ssl_certificate_key ${key}`;
    const nginx = await Nginx.start(encrypted ? site.replace(listening, overTls) : site, port);

    // A client that says so itself is not believed.
    const headers = { 'x-forwarded-proto': encrypted ? 'http' : 'https' };
    const { get } = encrypted ? https : http;
    const [answer] = (await once(
      get({ port, host: '127.0.0.1', path: '/health/live', headers, rejectUnauthorized: false }),
      'response',
    )) as [IncomingMessage];
    answer.resume();

    expect(answer.statusCode).toBe(200);
    expect(answer.headers['strict-transport-security']).toBe(
      encrypted ? 'max-age=31536000; includeSubDomains' : undefined,
    );
    await nginx.remove();
    certificates.remove();
    await app.close();
  });
});
