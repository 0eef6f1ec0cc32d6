import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { catchError, type Observable } from 'rxjs';
import { originOf } from './call-origin';
import type { Principal } from './principal';
import { Refusals } from './refusals';

/** Has what an operation refuses written down. What the guard refuses it writes down itself: it runs before. */
@Injectable()
export class RefusalInterceptor implements NestInterceptor {
  constructor(private readonly refusals: Refusals) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest & { user: Principal }>();
    return next.handle().pipe(
      catchError(async (error: unknown) => {
        await this.refusals.note(error, request.user, originOf(request));
        throw error;
      }),
    );
  }
}
