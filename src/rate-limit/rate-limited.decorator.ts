import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  SetMetadata,
  UseInterceptors,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { catchError, type Observable } from 'rxjs';
import { originOf } from '../access/call-origin';
import type { Principal } from '../access/principal';
import { ApiError, type ErrorCode } from '../core/errors';
import { ApiErrors } from '../openapi/api-errors.decorator';
import type { AddressLimitName } from './limits';
import { RateLimits, type Taken } from './rate-limits';

const LIMIT = 'latchkey:rate-limit';

/** Counts every call of a route by the caller's address and network, before its body is looked at; but not trouble with the database. */
@Injectable()
export class AddressLimit implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly limits: RateLimits,
  ) {}

  /** @throws ApiError `rate_limited` */
  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const name = this.reflector.get<AddressLimitName>(LIMIT, context.getHandler());
    const origin = originOf(context.switchToHttp().getRequest<FastifyRequest>());
    const taken = await this.limits.takeAddress(name, { userId: null, origin });
    // Not for a queue that is full: where a sign-up finds no place any more it has been told that its name is free.
    return giveBackFor(['service_unavailable'], next, taken);
  }
}

/** Counts every call of a route by the session that makes it, and by the account over all its sessions; but not trouble of ours. */
@Injectable()
export class AccountLimit implements NestInterceptor {
  constructor(private readonly limits: RateLimits) {}

  /** @throws ApiError `rate_limited` */
  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<FastifyRequest & { user: Principal }>();
    const { userId, credentialId } = request.user;
    const counted = [
      ['session-changes', credentialId],
      ['account-changes', userId],
    ] as const;
    const taken = await this.limits.takeEach(counted, { userId, origin: originOf(request) });
    return giveBackFor(['service_unavailable', 'overloaded'], next, taken);
  }
}

/** Whoever is told to come again must not use up what he has by doing so. */
function giveBackFor(codes: readonly ErrorCode[], next: CallHandler, taken: Taken): Observable<unknown> {
  return next.handle().pipe(
    catchError(async (error: unknown) => {
      if (error instanceof ApiError && codes.includes(error.code)) await taken.giveBack();
      throw error;
    }),
  );
}

/** Limits how often one address, and one network, may call a route. */
export const RateLimited = (name: AddressLimitName) =>
  applyDecorators(SetMetadata(LIMIT, name), UseInterceptors(AddressLimit), ApiErrors('rate_limited'));

/** For routes by which an account is changed: they are limited together. */
export const ChangesAccount = () => applyDecorators(UseInterceptors(AccountLimit), ApiErrors('rate_limited'));
