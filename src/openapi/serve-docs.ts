import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { onSendHookHandler, RouteOptions } from 'fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { projectRoot } from '../config/project-root';

/** Swagger UI needs its own scripts and styles, its inline styles and images, and calls to this server. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** What Swagger UI hands to its request interceptor, as far as it is read here. */
interface UiRequest {
  headers: { 'X-API-Key'?: string; Authorization?: string };
}

/** What Swagger UI hands to its response interceptor, as far as it is read here. */
interface UiResponse {
  status: number;
  url: string;
  obj?: { token?: string };
}

/** The running page, and where it is. */
declare const document: { baseURI: string };
declare const ui: {
  authActions: {
    authorizeWithPersistOption(payload: unknown): void;
    logoutWithPersistOption(names: string[]): void;
  };
  authSelectors: { authorized(): { getIn(path: string[]): unknown } | undefined };
};

/**
 * Runs in the browser, so it refers to nothing outside itself: a login or refresh that succeeds authorizes the page, and
 * the next call carries the token; when its session has ended, with a logout, with the account or by the list of sessions, the
 * page forgets it (ASVS 14.3.1).
 */
function authorizePage(response: UiResponse): UiResponse {
  const token = response.obj?.token;
  if (response.status === 200 && token && /\/auth\/(login|refresh)$/.test(response.url)) {
    ui.authActions.authorizeWithPersistOption({
      bearer: { name: 'bearer', schema: { type: 'http', scheme: 'bearer' }, value: token },
    });
  }
  const { pathname, search } = new URL(response.url, document.baseURI);
  const held = ui.authSelectors.authorized()?.getIn(['bearer', 'value']);
  const claims =
    typeof held === 'string' ? held.split('.')[1]?.replace(/-/g, '+').replace(/_/g, '/') : undefined;
  const isOwn = (sessionId: string): boolean =>
    claims !== undefined && (JSON.parse(atob(claims)) as { sid?: string }).sid === sessionId;
  const [ended = '', list] = pathname.split('/').reverse();
  const over =
    (response.status === 200 && /\/auth\/logout$/.test(pathname)) ||
    (response.status === 204 &&
      (/\/users\/me$/.test(pathname) ||
        (/\/auth\/sessions$/.test(pathname) && !/keep=current/.test(search)) ||
        (list === 'sessions' && isOwn(ended))));
  if (over) ui.authActions.logoutWithPersistOption(['bearer']);
  return response;
}

/**
 * Runs in the browser too: a key was entered by hand, the token came by itself. Of the two, which together are refused, the key
 * is meant.
 */
function preferKey(request: UiRequest): UiRequest {
  if ('X-API-Key' in request.headers) delete request.headers.Authorization;
  return request;
}

/** Hundreds of kilobytes each, and always the same. */
const LARGE_ANSWERS = ['/openapi.json', '/openapi.yaml', '/docs/swagger-ui-init.js'];

interface MadeAnswer {
  type: unknown;
  bytes: Buffer;
}

/**
 * Makes what a route answers when it is first asked, and never again: whoever asks over and over costs no processor time, and
 * whoever does not take what he has asked for no memory, since bytes are referred to where text is copied for each.
 */
function makeOnce(route: RouteOptions, made: Map<string, MadeAnswer>, name: string): void {
  route.preHandler = (_request, reply, done) => {
    const answer = made.get(name);
    if (answer) void reply.header('content-type', answer.type).send(answer.bytes);
    else done();
  };
  const asBytes: onSendHookHandler = (_request, reply, payload, done) => {
    // An error that a hook before this one has answered comes by here as well.
    if (typeof payload !== 'string' || reply.statusCode !== 200) return done(null, payload);
    const answer = made.get(name) ?? { type: reply.getHeader('content-type'), bytes: Buffer.from(payload) };
    made.set(name, answer);
    done(null, answer.bytes);
  };
  // Before what takes the body away from the answer to a HEAD.
  route.onSend = [asBytes, ...[route.onSend ?? []].flat()];
}

/**
 * Serves the committed OpenAPI document and Swagger UI. The document is made from the code by `npm run openapi`, and a
 * test keeps it equal to it, so that no start has to make it again.
 */
export function serveApiDocs(app: NestFastifyApplication): void {
  const server = app.getHttpAdapter().getInstance();
  server.addHook('onRequest', (request, reply, done) => {
    // The framework serves the page whatever query stands behind its path.
    if (/^\/docs([/?]|$)/.test(request.url)) {
      void reply.header('content-security-policy', PAGE_POLICY).header('cache-control', 'no-cache');
    }
    done();
  });
  const made = new Map<string, MadeAnswer>();
  server.addHook('onRoute', (route) => {
    const name = LARGE_ANSWERS.find((large) => route.url.endsWith(large));
    if (name !== undefined) makeOnce(route, made, name);
  });
  server.get('/', (_request, reply) => reply.redirect('/docs', 302));
  const document = () =>
    JSON.parse(readFileSync(join(projectRoot(), 'openapi.json'), 'utf8')) as OpenAPIObject;
  SwaggerModule.setup('docs', app, document, {
    jsonDocumentUrl: 'openapi.json',
    yamlDocumentUrl: 'openapi.yaml',
    customSiteTitle: 'Latchkey API',
    customCss: '.swagger-ui .topbar { display: none }',
    swaggerOptions: {
      requestInterceptor: preferKey,
      responseInterceptor: authorizePage,
      tryItOutEnabled: true,
      displayRequestDuration: true,
      persistAuthorization: false,
      validatorUrl: null,
    },
  });
}
