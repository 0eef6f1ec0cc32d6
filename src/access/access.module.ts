import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AccessGuard } from './access.guard';
import { ProxyWatch } from './proxy-watch';
import { Refusals } from './refusals';

@Global()
@Module({
  providers: [{ provide: APP_GUARD, useClass: AccessGuard }, Refusals, ProxyWatch],
  exports: [Refusals, ProxyWatch],
})
export class AccessModule {}
