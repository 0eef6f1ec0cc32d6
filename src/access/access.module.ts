import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AccessGuard } from './access.guard';
import { ProxyWatch } from './proxy-watch';
import { Refusals } from './refusals';
import { Strategies } from './strategies';

@Global()
@Module({
  providers: [{ provide: APP_GUARD, useClass: AccessGuard }, Refusals, ProxyWatch, Strategies],
  exports: [Refusals, ProxyWatch, Strategies],
})
export class AccessModule {}
