import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AccessGuard } from './access.guard';
import { Refusals } from './refusals';

@Global()
@Module({ providers: [{ provide: APP_GUARD, useClass: AccessGuard }, Refusals], exports: [Refusals] })
export class AccessModule {}
