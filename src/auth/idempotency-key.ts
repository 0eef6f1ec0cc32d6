import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { fieldError } from '../core/errors';

export const IDEMPOTENCY_KEY_HEADER = 'Idempotency-Key';

const SHAPE = /^[\x21-\x7e]{16,128}$/;

/**
 * The header that lets a client repeat a refresh however late.
 *
 * @throws ApiError `validation_failed` when it is there and not 16 to 128 visible ASCII characters
 */
export const IdempotencyKey = createParamDecorator(
  (_: unknown, context: ExecutionContext): string | undefined => {
    const value = context.switchToHttp().getRequest<FastifyRequest>().headers['idempotency-key'];
    if (value === undefined) return undefined;
    if (typeof value === 'string' && SHAPE.test(value)) return value;
    throw fieldError(
      IDEMPOTENCY_KEY_HEADER,
      'isIdempotencyKey',
      `${IDEMPOTENCY_KEY_HEADER} must be 16 to 128 visible ASCII characters`,
    );
  },
);
