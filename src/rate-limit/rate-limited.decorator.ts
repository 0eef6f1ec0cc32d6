import {
  applyDecorators,
  type CanActivate,
  type ExecutionContext,
  Injectable,
  SetMetadata,
  UseGuards,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { originOf } from '../access/call-origin';
import type { Principal } from '../access/principal';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { addressBlock } from './address-block';
import type { WindowLimitName } from './limits';
import { RateLimits } from './rate-limits';

const LIMIT = 'latchkey:rate-limit';

/** Counts every call of a route by the caller's address, before its body is looked at. */
@Injectable()
export class AddressLimitGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly limits: RateLimits,
  ) {}

  /** @throws ApiError `rate_limited` */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const name = this.reflector.get<WindowLimitName>(LIMIT, context.getHandler());
    const origin = originOf(context.switchToHttp().getRequest<FastifyRequest>());
    await this.limits.take(name, addressBlock(origin.ip), { userId: null, origin });
    return true;
  }
}

/** Counts every call of a route by the account that makes it, whichever session it comes from. */
@Injectable()
export class AccountLimitGuard implements CanActivate {
  constructor(private readonly limits: RateLimits) {}

  /** @throws ApiError `rate_limited` */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest & { user: Principal }>();
    const { userId } = request.user;
    await this.limits.take('account-changes', userId, { userId, origin: originOf(request) });
    return true;
  }
}

/** Limits how often one address may call a route. */
export const RateLimited = (name: WindowLimitName) =>
  applyDecorators(SetMetadata(LIMIT, name), UseGuards(AddressLimitGuard), ApiErrors('rate_limited'));

/** For routes by which an account is changed: they are limited together. */
export const ChangesAccount = () => applyDecorators(UseGuards(AccountLimitGuard), ApiErrors('rate_limited'));
