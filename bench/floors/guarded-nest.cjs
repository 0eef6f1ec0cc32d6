// @ts-check
// The least that Nest can be with a closed door: one route behind one hand-written guard that checks an HS256 signature and
// the expiry. It answers with the very headers that Latchkey answers with, so that both put the same bytes on the wire.
'use strict';
require('reflect-metadata');
const { createHmac, createSecretKey, timingSafeEqual } = require('node:crypto');
const { Controller, Get, Module, UnauthorizedException, UseGuards } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { FastifyAdapter } = require('@nestjs/platform-fastify');

const secret = createSecretKey(process.env.JWT_SECRET ?? '', 'utf8');
/** @type {Record<string, string>} */
const headers = JSON.parse(process.env.ANSWER_HEADERS ?? '{}');

class SignatureGuard {
  /** @param {import('@nestjs/common').ExecutionContext} context */
  canActivate(context) {
    const request = context.switchToHttp().getRequest();
    const claims = verified(String(request.headers.authorization).slice('Bearer '.length));
    if (!claims || claims.exp <= Date.now() / 1000) throw new UnauthorizedException();
    request.user = claims;
    return true;
  }
}

/** @param {string} token */
function verified(token) {
  const end = token.lastIndexOf('.');
  const expected = createHmac('sha256', secret).update(token.slice(0, end)).digest();
  const actual = Buffer.from(token.slice(end + 1), 'base64url');
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) return undefined;
  return JSON.parse(Buffer.from(token.slice(token.indexOf('.') + 1, end), 'base64url').toString());
}

class Verify {
  verify() {}
}
const handler = /** @type {PropertyDescriptor} */ (
  Object.getOwnPropertyDescriptor(Verify.prototype, 'verify')
);
Get('/api/v1/auth/verify')(Verify.prototype, 'verify', handler);
UseGuards(SignatureGuard)(Verify);
Controller()(Verify);

class App {}
Module({ controllers: [Verify] })(App);

void NestFactory.create(App, new FastifyAdapter(), { logger: false }).then((app) => {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook(
    'onRequest',
    /** @type {import('fastify').onRequestHookHandler} */ (
      (_request, reply, done) => {
        reply.headers(headers);
        done();
      }
    ),
  );
  return app.listen(Number(process.env.PORT), '127.0.0.1');
});
