import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { errorTable } from './error-responses';
import { finishDocument } from './finish-document';

/** The OpenAPI document, made from the code. Needs the compiled application: docstrings get into it at compile time. */
export function buildDocument(app: NestFastifyApplication, version: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.1')
    .setTitle('Latchkey')
    .setDescription(DESCRIPTION)
    .setVersion(version)
    .addTag('Authentication', 'Sign in, stay in, sign out.')
    .addTag('Sessions', 'Where the account is signed in.')
    .addTag('API keys', 'Credentials for server-to-server calls.')
    .addTag('For other services', 'Checking a credential that somebody presented to you.')
    .addTag('Users', 'Accounts and what their owners do with them.')
    .addTag('Health', 'For load balancers and supervisors.')
    .addServer('/', 'This server')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'The `token` of a login or refresh.',
      },
      'bearer',
    )
    .addApiKey(
      {
        type: 'apiKey',
        in: 'header',
        name: 'X-API-Key',
        description: 'An API key, as shown at its creation.',
      },
      'apiKey',
    )
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (_controller, method) => method,
  });
  Object.assign(document.info, {
    contact: { name: 'Latchkey maintainers' },
    license: { name: 'MIT', identifier: 'MIT' },
  });
  return finishDocument(document);
}

const DESCRIPTION = [
  'Authentication for your own clients: sign in with user name and password, call with a JWT access token, stay signed in',
  'with a rotating refresh token, sign out for good; API keys for server-to-server calls.',
  '',
  'To try calls here, sign in first: unfold _Sign in_, put in a user name and a password (for the ones shown run `npm run demo`),',
  'and press _Execute_. The page sends the access token from then on. Or press _Authorize_ and paste a `token` of a login under',
  '`bearer`, or an API key under `apiKey`. With `curl`, send `Authorization: Bearer <token>` or `X-API-Key: <key>`, never both.',
  '',
  'Every error has the body `{"error": "<sentence>"}`; the header `X-Error-Code` carries a stable code to branch on, and',
  '`X-Request-Id` the id to quote. With `Accept: application/problem+json` the same error comes as RFC 9457 problem',
  'details. On 503 nothing was decided about your credentials: keep them, and repeat after `Retry-After` seconds.',
  '',
  // Folded up: who comes to try a call looks for the operations.
  '<details><summary>All error codes</summary>',
  '',
  'Each operation lists its own below; those that no operation lists can come from any path.',
  '',
  errorTable(),
  '',
  '</details>',
].join('\n');
