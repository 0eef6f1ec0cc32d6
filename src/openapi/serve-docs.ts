import { readFileSync } from 'node:fs';
import { join } from 'node:path';
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

/** What Swagger UI hands to its response interceptor, as far as it is read here. */
interface UiResponse {
  status: number;
  url: string;
  obj?: { token?: string };
}

/** The running page. */
declare const ui: {
  authActions: {
    authorizeWithPersistOption(payload: unknown): void;
    logoutWithPersistOption(names: string[]): void;
  };
};

/**
 * Runs in the browser, so it refers to nothing outside itself: a login or refresh that succeeds authorizes the page, and
 * the next call carries the token; with a logout the page forgets it (ASVS 14.3.1).
 */
function authorizePage(response: UiResponse): UiResponse {
  const token = response.obj?.token;
  if (response.status === 200 && token && /\/auth\/(login|refresh)$/.test(response.url)) {
    ui.authActions.authorizeWithPersistOption({
      bearer: { name: 'bearer', schema: { type: 'http', scheme: 'bearer' }, value: token },
    });
  }
  if (response.status === 200 && /\/auth\/logout$/.test(response.url)) {
    ui.authActions.logoutWithPersistOption(['bearer']);
  }
  return response;
}

/**
 * Serves the committed OpenAPI document and Swagger UI. The document is made from the code by `npm run openapi`, and a
 * test keeps it equal to it, so that no start has to make it again.
 */
export function serveApiDocs(app: NestFastifyApplication): void {
  const server = app.getHttpAdapter().getInstance();
  server.addHook('onRequest', (request, reply, done) => {
    if (request.url === '/docs' || request.url.startsWith('/docs/')) {
      void reply.header('content-security-policy', PAGE_POLICY).header('cache-control', 'no-cache');
    }
    done();
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
      responseInterceptor: authorizePage,
      tryItOutEnabled: true,
      displayRequestDuration: true,
      persistAuthorization: false,
      validatorUrl: null,
    },
  });
}
