// @ts-check
// The least that Nest can be: one controller, one route, the same adapter.
'use strict';
require('reflect-metadata');
const { Controller, Get, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { FastifyAdapter } = require('@nestjs/platform-fastify');

class Hello {
  hello() {
    return { hello: 'world' };
  }
}
const handler = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(Hello.prototype, 'hello'));
Get()(Hello.prototype, 'hello', handler);
Controller()(Hello);

class App {}
Module({ controllers: [Hello] })(App);

void NestFactory.create(App, new FastifyAdapter(), { logger: false }).then((app) =>
  app.listen(Number(process.env.PORT), '127.0.0.1'),
);
